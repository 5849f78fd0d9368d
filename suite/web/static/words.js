// What the results mean, for a reader who is not an expert. No DOM and no WebRTC here.

export const NAMES = { udp: "UDP", tcp: "TCP", tls: "TLS" };
export const MARKS = { works: "✓", flows: "✓", warning: "!", fails: "✗", waiting: "…", untried: "–" };

const PRIVATE = /^(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[?(::1|f[cd][0-9a-f]{2}:|fe80:))/i;

/** Whether only a local network reaches `address`. */
export function isPrivate(address) {
  return PRIVATE.test(address);
}

// A name with a dot that is not one of the endings for local use, or a routable address.
function isPublicHost(host) {
  if (/^[\d.]+$/.test(host) || host.startsWith("[")) {
    return !isPrivate(host);
  }
  return host.includes(".") && !/\.(local|localhost|test|internal|lan|localdomain|home\.arpa)$/i.test(host);
}

export function hostPort(address, port) {
  return address.includes(":") && !address.startsWith("[") ? `[${address}]:${port}` : `${address}:${port}`;
}

function milliseconds(time) {
  return time < 10 ? `${time.toFixed(1)}\u00a0ms` : `${Math.round(time)}\u00a0ms`;
}

function untried(name) {
  return `The list above has no ${name} relay with a user name and a password.`;
}

const isUp = (fared) => fared === "works" || fared === "answers";

/** How a gathering or a sending fared, for the verdicts on the others. */
export function fare(result) {
  if (result.flows || result.relay) {
    return "works";
  }
  return result.errors.some(({ code }) => code >= 300 && code < 700) ? "answers" : "fails";
}

/**
 * The verdict on one transport: {status, headline, advice}.
 *
 * `outcome` is {server, result} of one gathering. `others` says how the other transports to the same
 * host fared: {tcp: "works"}, or "answers" where the server answered with a refusal, or "fails".
 * `temporary` tells that the page got the password by itself.
 */
export function gatherVerdict(transport, outcome, { others = {}, temporary = false } = {}) {
  const name = NAMES[transport];
  if (outcome === undefined) {
    return { status: "untried", headline: `${name}: not tried`, advice: untried(name) };
  }
  const { server, result } = outcome;
  if (result.relay !== null) {
    return working(name, server, result.relay);
  }
  return { status: "fails", headline: `${name}: no relay candidate`, advice: reason(transport, server, result, others, temporary) };
}

function working(name, server, relay) {
  const headline = `${name}: works, relay ${hostPort(relay.address, relay.port)} after ${milliseconds(relay.time)}`;
  if (isPrivate(relay.address) && isPublicHost(server.host)) {
    return {
      status: "warning",
      headline,
      advice: `${relay.address} is an address of the server's own network. Callers elsewhere cannot reach it: set the server's public address (external-ip) in its configuration.`,
    };
  }
  return { status: "works", headline, advice: "Nothing to do." };
}

function reason(transport, server, result, others, temporary) {
  if (result.refused !== null) {
    return `The browser refused this entry: ${result.refused}`;
  }
  for (const error of result.errors) {
    const words = errorReason(error, server, temporary);
    if (words !== null) {
      return words;
    }
  }
  return { udp: udpReason, tcp: tcpReason, tls: tlsReason }[transport](server, others);
}

/** What an error code of the server means for the reader, null where it says nothing certain. */
export function errorReason(error, server, temporary = false) {
  switch (error.code) {
    case 401:
      return temporary
        ? "The server did not accept the temporary password. If this page has been open for more than ten minutes, reload it; otherwise the clock of the server that made the password is wrong, or the page and the relay do not share the same secret."
        : "The server refused the user name or password. Check both; a temporary user name that starts with a number may have expired.";
    case 403:
      return "The server forbids this user or this address to use the relay.";
    case 437:
      return "The server still holds a relay of an earlier attempt. Wait a minute and try again.";
    case 438:
      return "The server kept calling the request stale: its clock or its nonce key changes between requests. If several servers share this name, give all of them the same nonce secret.";
    case 441:
      return "The server holds this address for another user name. Wait a minute and try again.";
    case 440:
    case 443:
      return "The server has no relay address of the address family (IPv4 or IPv6) that the browser asked for.";
    case 486:
      return "This user holds as many relays as the server allows (user quota). Close other tabs and calls, or raise the quota.";
    case 508:
      return "The server has no free relay port left. Widen its range of relay ports (min-port, max-port).";
    case 300:
      return "The server sends clients to another server, and the browser did not follow.";
    case 701:
      return /lookup|resolv/i.test(error.text)
        ? `The name ${server.host} was not found. Check its spelling and the DNS.`
        : null;
    default:
      return null;
  }
}

function udpReason(server, others) {
  const where = hostPort(server.host, server.port);
  if (isUp(others.tcp) || isUp(others.tls)) {
    return `No answer over UDP from ${where}, though the server is up. A firewall drops UDP to port ${server.port}: open it on the server and, where calls need the best sound, in this network. Until then calls go over TCP or TLS.`;
  }
  return `No answer over UDP from ${where}. Either the server is not running, or its address is wrong, or a firewall drops UDP to port ${server.port}.`;
}

function tcpReason(server, others) {
  const where = hostPort(server.host, server.port);
  if (others.tls === "works") {
    return `No relay over plain TCP from ${where}, but TLS works. That is enough for calls: some networks let only TLS through on this port.`;
  }
  if (isUp(others.udp)) {
    return `${where} does not take TCP connections from here. Open TCP port ${server.port} on the server's firewall, or let the server listen on it.`;
  }
  return `${where} does not take TCP connections. Either the server is not running, or its address is wrong, or a firewall blocks TCP port ${server.port}.`;
}

function tlsReason(server, others) {
  const where = hostPort(server.host, server.port);
  const trust = `open https://${where}/ in a tab. If the browser warns, it does not trust the server's certificate, and for a relay a browser offers no “proceed anyway”: give the server a certificate for the name ${server.host} from a public authority (Let's Encrypt is free), or install this server's own authority certificate on this device.`;
  if (isUp(others.tcp)) {
    return `The server answers over plain TCP, so most likely your browser does not trust its certificate. To see it, ${trust}`;
  }
  return `Either your browser does not trust the server's certificate, or TCP port ${server.port} is blocked. To see which, ${trust} If the tab cannot connect at all, the port is blocked or the server is not running.`;
}

/** One icecandidateerror in words. */
export function errorWords(error, server, temporary = false) {
  const meaning = errorReason(error, server, temporary) ?? (error.code === 701 ? "The server could not be reached." : "The server refused the request.");
  const said = error.text === "" ? `code ${error.code}` : `${error.code} ${error.text}`;
  return `${error.url || server.url}: ${meaning} (${said})`;
}

/** The verdict on data through one relay: {status, headline, advice}. */
export function dataVerdict(transport, outcome, { others = {}, temporary = false } = {}) {
  const name = NAMES[transport];
  if (outcome === undefined) {
    return { status: "untried", headline: `${name}: not tried`, advice: untried(name) };
  }
  const { server, result } = outcome;
  if (result.flows) {
    const rate = (result.bytes * 8) / result.seconds / 1e6;
    return {
      status: "flows",
      headline: `${name}: flows, round trip ${milliseconds(result.rtt)}`,
      advice: `${result.bytes / 1024} KiB went through the relay at ${rate.toFixed(1)} Mbit/s.`,
    };
  }
  return { status: "fails", headline: `${name}: does not flow`, advice: stopped(transport, server, result, others, temporary) };
}

function stopped(transport, server, result, others, temporary) {
  if (result.stage === "refused") {
    return `The browser refused this entry: ${result.reason}`;
  }
  if (result.stage === "gathering") {
    const gathered = { relay: null, errors: result.errors, refused: null };
    return `There is no relay to send through. ${reason(transport, server, gathered, others, temporary)}`;
  }
  if (result.stage === "connecting") {
    return `The server gave a relay, but nothing came through it (${result.reason}). Either the server forbids relaying to its own address (peer rules), or a firewall or a wrong external-ip stands between its relay ports and its public address.`;
  }
  return `The connection was made, but ${result.reason}. The way to the server loses large packets, or the server limits the rate.`;
}
