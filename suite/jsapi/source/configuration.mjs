// The configuration of the classic client: its keys, limits and defaults.

import { CONFIGURATION_ERROR, GrtcError } from "./errors.mjs";

const KEYS = new Set(["webrtc_gateway", "stun_server", "turn_server", "turn_username", "turn_password", "sip_username",
  "sip_password", "dtls_srtp", "enable_ipv6", "noanswer_timeout", "ice_timeout", "ice_optimization", "polling_timeout",
  "use_rsa_certificate"]);

/** What holds where nothing else is configured; times in ms. */
export const NOANSWER_TIMEOUT = 60000;
export const ICE_TIMEOUT = 1000;
export const POLLING_TIMEOUT = 30000;
const LEAST_NOANSWER = 18000;
const LEAST_ICE = 1000;
const LEAST_POLLING = 10000;

/** Check a configuration and read it. Throws an error of type CONFIGURATION_ERROR. */
export function readConfiguration(configuration) {
  const given = configuration ?? {};
  const unknown = Object.keys(given).find((key) => !KEYS.has(key));
  if (unknown !== undefined) {
    throw new GrtcError(CONFIGURATION_ERROR, `Unknown configuration parameter: ${unknown}`);
  }
  if (!given.webrtc_gateway) {
    throw new GrtcError(CONFIGURATION_ERROR, "webrtc_gateway is missing");
  }
  if (given.turn_server && !(given.turn_username && given.turn_password)) {
    throw new GrtcError(CONFIGURATION_ERROR, "turn_server needs turn_username and turn_password");
  }
  return {
    gateway: given.webrtc_gateway,
    iceServers: iceServersOf(given),
    dtls: !isFalse(given.dtls_srtp),
    ipv6: isTrue(given.enable_ipv6),
    noanswer: atLeast(given.noanswer_timeout, LEAST_NOANSWER, NOANSWER_TIMEOUT),
    ice: atLeast(given.ice_timeout, LEAST_ICE, ICE_TIMEOUT),
    polling: Number(given.polling_timeout) === 0 && given.polling_timeout !== undefined && given.polling_timeout !== ""
      ? 0 : atLeast(given.polling_timeout, LEAST_POLLING, POLLING_TIMEOUT),
    optimized: isTrue(given.ice_optimization),
    rsa: isTrue(given.use_rsa_certificate),
  };
}

function isTrue(value) {
  return value === true || String(value).toLowerCase() === "true";
}

function isFalse(value) {
  return value === false || String(value).toLowerCase() === "false";
}

function atLeast(value, least, otherwise) {
  const number = Number(value ?? Number.NaN);
  return number >= least ? number : otherwise;
}

// Undefined where none is named: then the gateway is asked for its own.
function iceServersOf({ stun_server: stun, turn_server: turn, turn_username: username, turn_password: credential }) {
  const servers = [
    ...addresses(stun, "stun").map((urls) => ({ urls })),
    ...addresses(turn, "turn").map((urls) => ({ urls, username, credential })),
  ];
  return servers.length > 0 ? servers : undefined;
}

function addresses(list, scheme) {
  return String(list ?? "").split(",").map((each) => each.trim()).filter((each) => each !== "")
    .map((each) => (/^(stuns?|turns?):/.test(each) ? each : `${scheme}:${each}`));
}
