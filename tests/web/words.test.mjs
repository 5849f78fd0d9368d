// The page's words and its reading of addresses, without a browser: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../../suite/web/static/gather.js";
import { parseUrl, plan } from "../../suite/web/static/servers.js";
import { dataVerdict, errorWords, fare, gatherVerdict, isPrivate } from "../../suite/web/static/words.js";

const at = (url) => parseUrl(url);
const failed = (...errors) => ({ relay: null, errors, refused: null, timedOut: false });
const given = (address, time = 35.2) => ({ relay: { address, port: 50000, time }, errors: [], refused: null });

test("an address gives scheme, host, port and transport", () => {
  const { host, port, transport, relay } = at("turn:turn.example.net:443?transport=tcp");
  assert.deepEqual([host, port, transport, relay], ["turn.example.net", 443, "tcp", true]);
});

test("without a port or a transport the defaults of the RFC hold", () => {
  assert.deepEqual([at("turn:h").port, at("turn:h").transport], [3478, "udp"]);
  assert.deepEqual([at("turns:h").port, at("turns:h").transport], [5349, "tls"]);
  assert.equal(at("turns:h?transport=udp").transport, "tls");
  assert.equal(at("turn:[2001:db8::1]:443").host, "[2001:db8::1]");
});

test("what is no address is explained, not thrown", () => {
  for (const text of ["turn.example.net", "http://h/", "turn:h:0", "turn:h:70000", "turn:a b", "turn:h?transport=sctp", "turn:::1"]) {
    assert.match(at(text).problem, /STUN or TURN address|port/);
  }
});

test("each relay is a check of its own, STUN servers are together, the rest are problems", () => {
  const row = (url, username = "u", password = "p") => ({ url, username, password });
  const { checks, stun, problems } = plan([row("stun:h"), row("turn:h"), row(" turns:h "), row("turn:g", "u", ""), row(""), row("x")]);
  assert.deepEqual(checks.map(({ server }) => server.transport), ["udp", "tls"]);
  assert.deepEqual(checks[1].iceServers, [{ urls: "turns:h", username: "u", credential: "p" }]);
  assert.deepEqual(stun, [{ urls: "stun:h" }]);
  assert.equal(problems.length, 2);
});

test("a relay candidate is a verdict with its address and time", () => {
  const verdict = gatherVerdict("udp", { server: at("turn:turn.example.net:443"), result: given("198.51.100.7") });
  assert.equal(verdict.status, "works");
  assert.equal(verdict.headline, "UDP: works, relay 198.51.100.7:50000 after 35\u00a0ms");
});

test("a private relay address behind a public name is a warning about external-ip", () => {
  const server = at("turn:turn.example.net:443");
  assert.equal(gatherVerdict("udp", { server, result: given("10.0.0.7") }).status, "warning");
  assert.match(gatherVerdict("udp", { server, result: given("10.0.0.7") }).advice, /external-ip/);
  assert.equal(gatherVerdict("udp", { server: at("turn:192.168.1.2"), result: given("192.168.1.2") }).status, "works");
  assert.equal(gatherVerdict("udp", { server: at("turn:localhost"), result: given("127.0.0.1") }).status, "works");
});

test("private addresses are those that only a local network reaches", () => {
  for (const address of ["10.1.2.3", "172.16.0.1", "172.31.0.1", "192.168.0.1", "127.0.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1", "::1"]) {
    assert.ok(isPrivate(address), address);
  }
  for (const address of ["11.1.2.3", "172.32.0.1", "172.15.0.1", "100.63.0.1", "100.128.0.1", "2001:db8::1", "8.8.8.8"]) {
    assert.ok(!isPrivate(address), address);
  }
});

test("a missing TLS relay beside a TCP one that answers is the certificate", () => {
  const outcome = { server: at("turns:turn.example.net:443"), result: failed() };
  for (const tcp of ["works", "answers"]) {
    const { status, advice } = gatherVerdict("tls", outcome, { others: { tcp } });
    assert.equal(status, "fails");
    assert.match(advice, /does not trust its certificate/);
    assert.match(advice, /https:\/\/turn\.example\.net:443\//);
  }
  assert.match(gatherVerdict("tls", outcome).advice, /Either .* certificate, or TCP port 443 is blocked/);
});

test("UDP that fails while TCP works is a firewall, alone it may be anything", () => {
  const outcome = { server: at("turn:h:443"), result: failed() };
  assert.match(gatherVerdict("udp", outcome, { others: { tcp: "works" } }).advice, /firewall drops UDP to port 443/);
  assert.match(gatherVerdict("udp", outcome).advice, /not running/);
});

test("a refused password is told apart from one that this page was given", () => {
  const outcome = { server: at("turn:h"), result: failed({ code: 401, text: "Unauthorized", url: "" }) };
  assert.match(gatherVerdict("udp", outcome).advice, /Check both/);
  assert.match(gatherVerdict("udp", outcome, { temporary: true }).advice, /reload it/);
});

test("an entry that the browser refuses, and one that was not tried, are no failures of the server", () => {
  const refused = { ...failed(), refused: "bad" };
  assert.match(gatherVerdict("udp", { server: at("turn:h"), result: refused }).advice, /browser refused this entry: bad/);
  assert.equal(gatherVerdict("tls", undefined).status, "untried");
  assert.equal(dataVerdict("tls", undefined).status, "untried");
});

test("an error names its server, its meaning and what was said", () => {
  const words = errorWords({ code: 486, text: "Quota", url: "turn:h" }, at("turn:h"));
  assert.match(words, /^turn:h: This user holds .* \(486 Quota\)$/);
  const dns = errorWords({ code: 701, text: "TURN host lookup received error.", url: "" }, at("turn:h"));
  assert.match(dns, /^turn:h: The name h was not found/);
});

test("data that flows has a round trip; data that does not has the stage where it stopped", () => {
  const server = at("turn:h");
  const flows = { flows: true, rtt: 4.25, bytes: 262144, seconds: 0.5, errors: [] };
  assert.equal(dataVerdict("udp", { server, result: flows }).headline, "UDP: flows, round trip 4.3\u00a0ms");
  assert.match(dataVerdict("udp", { server, result: flows }).advice, /4\.2 Mbit\/s/);
  const stopped = (stage) => dataVerdict("udp", { server, result: { flows: false, stage, reason: "why", errors: [] } }).advice;
  assert.match(stopped("refused"), /refused this entry: why/);
  assert.match(stopped("gathering"), /no relay to send through/);
  assert.match(stopped("connecting"), /peer rules/);
  assert.match(stopped("moving"), /connection was made, but why/);
});

test("a server that refuses is up, one that is silent may not be", () => {
  assert.equal(fare(given("1.2.3.4")), "works");
  assert.equal(fare(failed({ code: 401 })), "answers");
  assert.equal(fare(failed({ code: 701 })), "fails");
});

test("a browser that gives only the candidate line is understood all the same", () => {
  const line = "candidate:1 1 UDP 7 198.51.100.7 50000 typ relay raddr 192.0.2.1 rport 9";
  assert.deepEqual(describe({ candidate: line }), {
    type: "relay", protocol: "udp", relayProtocol: null, address: "198.51.100.7", port: 50000,
    priority: 7, relatedAddress: "192.0.2.1", relatedPort: "9",
  });
});
