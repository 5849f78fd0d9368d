// What the phone's page says.

import assert from "node:assert/strict";
import test from "node:test";

import { callWords, clock, endWords, mediaWords, newsWords, numberRows, pathWords, signInWords, troubleWords } from "../../suite/web/static/phonewords.mjs";

test("a clock", () => {
  assert.deepEqual([0, 7.9, 60, 754, 3723, -1].map(clock), ["0:00", "0:07", "1:00", "12:34", "1:02:03", "0:00"]);
});

test("every state of the place at the gateway has words", () => {
  for (const state of ["signed-out", "signing-in", "signed-in", "reconnecting"]) {
    assert.notEqual(newsWords(state, "1001"), state);
  }
  assert.match(newsWords("signed-in", "1001"), /1001.*ring here/);
  assert.match(newsWords("signed-in", "nobody", false), /nobody can call you/);
});

test("a refused sign-in says what to do", () => {
  assert.match(signInWords({ status: 403 }, "https://g"), /password is wrong .*, or this page's address is not in the gateway's domain-whitelist/);
  assert.match(signInWords({}, "https://g:8086"), /Nothing answered at https:\/\/g:8086.*open https:\/\/g:8086\/ping/);
  assert.match(signInWords({ status: 503 }, "x"), /it is full, or every other session/);
  assert.equal(signInWords({ status: 418, message: "Tea." }, "x"), "Tea.");
});

test("every way to have no microphone has words and a remedy", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "NotSupportedError", "OverconstrainedError"]) {
    assert.doesNotMatch(mediaWords({ name, message: "raw" }), /raw/);
  }
  assert.match(mediaWords({ name: "NotAllowedError" }), /allow it, then try again/);
  assert.match(mediaWords({ name: "NotSupportedError" }), /https/);
  assert.match(mediaWords({ name: "TypeError", message: "raw" }), /raw/);
});

test("what a call does", () => {
  const call = { ended: null, answeredAt: 1, outgoing: true, held: false, heldByPeer: false };
  assert.equal(callWords({ ...call, answeredAt: null }, ""), "Calling…");
  assert.equal(callWords(call, "connected"), "Connected.");
  assert.match(callWords(call, "connecting"), /connecting media/);
  assert.match(callWords({ ...call, held: true }, "interrupted"), /interrupted/);
  assert.equal(callWords({ ...call, held: true }, "connected"), "You hold the call.");
  assert.equal(callWords({ ...call, heldByPeer: true }, "connected"), "The other side holds the call.");
  assert.equal(callWords({ ...call, ended: "peer" }, "connected"), "Ended.");
});

test("why a call ended", () => {
  const refused = (reason) => endWords({ cause: "refused", error: { message: "m", reason, errorType: "FAILED" } }, "1002");
  assert.match(refused("488"), /no codec in common.*488/);
  assert.match(refused("404"), /There is no 1002/);
  assert.match(refused("403"), /may not call/);
  assert.match(refused("486"), /busy/);
  assert.match(refused("503"), /SIP Server/);
  assert.match(refused("499"), /refused\. m \(499\)/);
  assert.match(endWords({ cause: "refused", error: null }, "1002"), /busy, rejected, or no such number/);
  assert.match(endWords({ cause: "failed", error: new Error("why") }, "1002"), /why/);
  for (const cause of ["local", "peer", "rejected", "no-answer", "lost", "gone"]) {
    assert.notEqual(endWords({ cause, error: null }, "1002"), cause);
  }
});

test("trouble in a call", () => {
  assert.match(troubleWords("The call cannot be made", { name: "NotAllowedError" }), /not to let this page/);
  assert.equal(troubleWords("The call cannot be made", { name: "X", message: "m" }), "The call cannot be made: m");
});

test("statistics, with what is not there as a dash", () => {
  const rows = numberRows({ audio: { codec: "opus", rtt: 12, rx: { packets: 5, lost: 0, jitter: 1 }, tx: { packets: 6 } }, video: null }, { audio: { rtt: 0.8094 } });
  assert.deepEqual(rows[0], ["Sound: codec", "opus", "–"]);
  assert.deepEqual(rows[1], ["Sound: round trip", "12 ms", "0.8 ms"]);
  assert.deepEqual(rows[2], ["Sound: packets received", "5", "–"]);
  assert.equal(rows.length, 6);
  assert.deepEqual(numberRows(undefined, undefined), []);
});

test("which way media go", () => {
  assert.equal(pathWords(null), "Media have no path yet.");
  assert.match(pathWords({ local: "relay", remote: "host", protocol: "tls", srtp: null }), /through the relay over TLS/);
  assert.match(pathWords({ local: "host", remote: "host", protocol: "udp", srtp: "AES_CM" }), /directly over UDP, encrypted with AES_CM/);
});
