// What the lab's page says, without a browser: node --test.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  callKeys, chosenLadder, dnsWords, duration, fare, gatewayWords, heldWords, news, stateWords,
} from "../../suite/web/static/labwords.js";

const server = (name, state = "up", active = false) => ({ name, state, active });
const lab = (more = {}) => ({
  servers: [server("A", "up", true), server("B")], dns: { on: true }, registrations: [], calls: [], ...more,
});
const gateway = (more = {}) => ({
  active: "127.0.0.11:5060 UDP", state: "in use", generation: 2, registered: 1, dns: ["7001"], calls: [], call_count: 0, ...more,
});
const call = (state, third_party = true) => ({ id: "c1", state, third_party });
const words = (keys) => keys.map(([word]) => word);

test("durations are what people say", () => {
  assert.deepEqual([-1, 0.9, 59.9, 60, 3599, 7325].map(duration), ["0 s", "0 s", "59 s", "1 min 0 s", "59 min 59 s", "2 h 2 min"]);
});

test("a server that answers late is a warning, one that does not answer fails", () => {
  assert.deepEqual(["up", "slow 5 s", "killed", "frozen", "503", "reset"].map(fare), ["works", "warning", "fails", "fails", "fails", "fails"]);
});

test("every state is a sentence, and one that is not known is shown as it is", () => {
  assert.equal(stateWords("slow 5 s"), "Slow: answers 5 s late.");
  assert.match(stateWords("503"), /503/);
  assert.equal(stateWords("melted"), "melted");
});

test("the first line tells who is in use and who is not well", () => {
  assert.equal(news({ lab: lab() }), "SIP Server A is in use. 0 DNs registered, no call up.");
  const ill = lab({ servers: [server("A", "killed"), server("B", "up", true)], dns: { on: false } });
  assert.equal(news({ lab: ill }), "SIP Server B is in use, A is killed, the name server is silent. 0 DNs registered, no call up.");
});

test("a DN with two phones counts once, and calls that have ended do not", () => {
  const busy = lab({ registrations: [{ dn: "1" }, { dn: "1" }], calls: [call("talking"), call("ended: normal")] });
  assert.match(news({ lab: busy }), /1 DN registered, 1 call up\./);
});

test("the B2BUA's view is a sentence, whether it is there or not", () => {
  assert.equal(gatewayWords(null), "The B2BUA is not running.");
  assert.equal(gatewayWords(gateway()), "It uses 127.0.0.11:5060 UDP (in use, generation 2); 1 DN registered, 0 calls.");
  assert.match(gatewayWords(gateway({ active: "", state: "all down" })), /uses no server \(all down/);
  assert.equal(dnsWords(null), "");
  assert.equal(dnsWords(gateway({ registered: 3 })), "DNs: 7001 and 2 more");
});

test("who holds a call is told", () => {
  assert.equal(heldWords({ state: "talking", held_by: "" }), "talking");
  assert.equal(heldWords({ state: "held", held_by: "server" }), "held by server");
  assert.equal(heldWords({ state: "talking", held_by: "phone" }), "talking, held by phone");
});

test("a call has the keys that fit its state, and none if the lab has not made it", () => {
  assert.deepEqual(words(callKeys(call("ringing"))), ["talk", "hangup"]);
  assert.deepEqual(words(callKeys(call("talking"))), ["hold", "hangup"]);
  assert.deepEqual(words(callKeys(call("held"))), ["retrieve", "hangup"]);
  assert.deepEqual(callKeys(call("ended: busy")), []);
  assert.deepEqual(callKeys(call("talking", false)), []);
});

test("the newest call is drawn until a person chooses another that is kept", () => {
  const ladders = [{ name: "c1" }, { name: "c2" }, { name: "others" }];
  assert.equal(chosenLadder(ladders, "").name, "c2");
  assert.equal(chosenLadder(ladders, "others").name, "others");
  assert.equal(chosenLadder(ladders, "c0").name, "c2");
  assert.equal(chosenLadder([{ name: "others" }], "").name, "others");
  assert.equal(chosenLadder([], ""), null);
});
