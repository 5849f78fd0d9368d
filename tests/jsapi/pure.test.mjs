// The library's parts that need no browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { moduleText, scriptText } from "../../packaging/jsapi.mjs";
import { VideoConstraints, getWebrtcDetectedBrowser, getWebrtcDetectedVersion, getWebrtcMinimumVersion } from "../../suite/jsapi/source/browser.mjs";
import { Callbacks } from "../../suite/jsapi/source/callbacks.mjs";
import { anonymous, gatewayOf } from "../../suite/jsapi/source/client.mjs";
import { readConfiguration } from "../../suite/jsapi/source/configuration.mjs";
import { OfferedServers } from "../../suite/jsapi/source/ice_servers.mjs";
import { modernConstraints } from "../../suite/jsapi/source/media.mjs";
import { decodeQuery, deparam, param } from "../../suite/jsapi/source/query.mjs";
import { glareWinner, newTiebreaker, offerMessage, parseText, roapText } from "../../suite/jsapi/source/roap.mjs";
import { completeSdp, countCandidates, mediaLines, preferIpv4, withoutCandidates, withVideoBandwidth } from "../../suite/jsapi/source/sdp.mjs";

const SDP = [
  "v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendrecv",
  "a=candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host", "a=candidate:2 1 udp 2122260222 2001:db8::1 50001 typ host", "a=end-of-candidates",
  "m=video 0 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "b=AS:9", "a=mid:1", "a=inactive", "",
].join("\r\n");

test("what is served is what the sources say", () => {
  const served = (name) => readFileSync(new URL(`../../suite/jsapi/${name}`, import.meta.url), "utf8");
  assert.equal(served("grtc.mjs"), moduleText(), "run node packaging/jsapi.mjs");
  assert.equal(served("grtc.js"), scriptText(), "run node packaging/jsapi.mjs");
});

test("no name is used by two sources, which share a scope in what is served", async () => {
  const names = [...scriptText().matchAll(/^(?:async )?(?:const|let|function|class) (\w+)/gm)].map(([, name]) => name);
  assert.ok(names.length > 50);
  assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), []);
});

test("callbacks: each function once, in order, with the arguments and the list as this", () => {
  const list = new Callbacks();
  const seen = [];
  const one = function one(...values) { seen.push(["one", this === list, ...values]); };
  const two = (value) => seen.push(["two", value]);
  assert.equal(list.has(), false);
  assert.equal(list.add(one, [two, one], one), list);
  assert.equal(list.has(one) && list.has(), true);
  list.fire(1, 2);
  assert.deepEqual(seen, [["one", true, 1, 2], ["two", 1]]);
  assert.equal(list.fired(), true);
  list.remove(one).fire(3);
  assert.deepEqual(seen.at(-1), ["two", 3]);
  assert.equal(list.empty().has(), false);
});

test("callbacks: false keeps the later ones from it, nothing else does", () => {
  const seen = [];
  const list = new Callbacks().add(() => { seen.push(1); return 0; }, () => { seen.push(2); return false; }, () => seen.push(3));
  list.fire().fire();
  assert.deepEqual(seen, [1, 2, 1, 2]);
});

test("callbacks: changed while they are called", () => {
  const seen = [];
  const list = new Callbacks();
  const once = () => { seen.push("once"); list.remove(once).add(late); };
  const late = () => seen.push("late");
  const nested = () => { seen.push("nested"); if (seen.length < 3) { list.fire(); } };
  list.add(once, nested).fire();
  assert.deepEqual(seen, ["once", "nested", "late", "nested", "late"]);
});

test("callbacks: disabled and locked", () => {
  const seen = [];
  const list = new Callbacks().add(() => seen.push(1));
  assert.equal(list.disabled() || list.locked(), false);
  list.disable().fire();
  list.add(() => seen.push(2)).fire();
  assert.deepEqual([seen, list.has(), list.disabled(), list.locked()], [[], false, true, true]);
  const locking = new Callbacks().add(() => { seen.push("first"); locking.lock(); }, () => seen.push("second"));
  locking.fire().fire();
  assert.deepEqual(seen, ["first", "second"]);
  assert.equal(locking.locked(), true);
});

test("callbacks: what one throws is reported, and the next is called", () => {
  const seen = [];
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  new Callbacks().add(() => { throw new Error("the application's"); }, () => seen.push(1)).fire();
  assert.deepEqual(seen, [1]);
  assert.deepEqual(reported, ["the application's"]);
});

test("deparam decodes nothing and splits on the first =", () => {
  assert.deepEqual(deparam("a=1&b=x%20y+z&c==2=&d&&e="), { a: "1", b: "x%20y+z", c: "=2=", d: "", e: "" });
  assert.deepEqual(deparam(""), {});
  assert.deepEqual(deparam(undefined), {});
  assert.deepEqual(Object.keys(deparam("__proto__=1")), ["__proto__"]);
});

test("a query is written as forms write it, and read back", () => {
  assert.equal(param({ text: "a b&c", list: [1, 2], inner: { k: "=" }, none: null }), "text=a+b%26c&list%5B%5D=1&list%5B%5D=2&inner%5Bk%5D=%3D&none=");
  assert.deepEqual(decodeQuery(param({ "ü m": "a+b %" })), { "ü m": "a+b %" });
  assert.deepEqual(decodeQuery("a=%ZZ"), { a: "%ZZ" });
});

test("texts of the gateway", () => {
  for (const [text, kind] of [["BYE", "bye"], ["INVITE\n", "invite"], ["EVENT-TALK", "talk"], ["EVENT-HOLD", "hold"]]) {
    assert.deepEqual(parseText(text), { kind });
  }
  assert.deepEqual(parseText("INFO-PEER text=a+b%26c"), { kind: "info", data: "text=a+b%26c" });
  assert.deepEqual(parseText('PUT-STATS {"duration":1}'), { kind: "stats", value: { duration: 1 } });
  assert.equal(parseText(`SDP OFFER ${JSON.stringify({ messageType: "OFFER", sdp: SDP })}`).kind, "offer");
  assert.equal(parseText(`ROAP ${JSON.stringify({ messageType: "ANSWER", sdp: "s=OFFER" })}`).kind, "answer");
  assert.equal(parseText(`SDP\n{"messageType":"OK","seq":1}`).message.seq, 1);
  assert.equal(parseText('x {"errorType":"NOMATCH"}').kind, "error");
});

test("texts that nobody can use are told apart, and nothing throws", () => {
  for (const text of ["", "{", "SDP", "SDP {}", "SDP []", "[1]", '{"messageType":"OFFER"}', '{"messageType":"constructor"}', "PUT-STATS x", "PUT-STATS []", "null"]) {
    assert.equal(parseText(text).kind, "unknown", text);
  }
});

test("an offer has the members of old clients in their order, and the draft's tie-breaker", () => {
  const offer = { sdp: "v=0", candidates: [], own: 102, other: null, seq: 1, tiebreaker: 7 };
  assert.deepEqual(Object.keys(offerMessage(offer)), [
    "messageType", "sdp", "Candidates", "offererSessionId", "answererSessionId", "seq", "tiebreaker", "tieBreaker",
  ]);
  assert.equal(offerMessage(offer).answererSessionId, null);
  assert.deepEqual(offerMessage({ ...offer, data: [{ key: "a", value: "b" }] }).attacheddata, [{ key: "a", value: "b" }]);
  assert.match(roapText(offerMessage(offer)), /^RSMP \{"messageType":"OFFER",/);
});

test("tie-breakers", () => {
  assert.deepEqual([newTiebreaker(() => 0), newTiebreaker(() => 1 - 2 ** -53)], [1, 429496723]);
  assert.deepEqual([glareWinner(2, 1), glareWinner(1, 2), glareWinner(2, 2), glareWinner(1, undefined)], ["ours", "theirs", "none", "ours"]);
});

test("candidates leave the description for their list", () => {
  const { sdp, candidates } = withoutCandidates(SDP);
  assert.equal(countCandidates(SDP), 2);
  assert.equal(countCandidates(sdp), 0);
  assert.doesNotMatch(sdp, /end-of-candidates/);
  assert.deepEqual(candidates[0], { sdpMLineIndex: 0, sdpMid: "0", candidate: "candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host" });
  assert.deepEqual(preferIpv4(candidates), [candidates[0]]);
  assert.deepEqual(preferIpv4([candidates[1]]), [candidates[1]]);
});

test("candidates are read as old clients and gateways write them", () => {
  const candidate = "candidate:1 1 UDP 1 192.0.2.1 5 typ host";
  const { sdp } = withoutCandidates(SDP);
  const added = (Candidates) => withoutCandidates(completeSdp({ sdp, Candidates })).candidates.map((each) => [each.sdpMLineIndex, each.candidate]);
  assert.deepEqual(added([{ sdpMLineIndex: 1, sdpMid: "audio", candidate: `a=${candidate}\r\n` }]), [[1, candidate]]);
  assert.deepEqual(added([{ sdpMid: "1", candidate }]), [[1, candidate]]);
  assert.deepEqual(added([{ candidate }, { candidate }]), [[0, candidate]]);
  assert.deepEqual(added([{ sdpMLineIndex: 0, candidate: "" }, null, 5, { sdpMLineIndex: 7, candidate }]), []);
  assert.deepEqual(added([{ sdpMLineIndex: 0, candidate: "candidate:1 1 udp x\r\nm=audio 1" }, { candidate: "candidate:" }]), []);
  assert.equal(completeSdp({ sdp: SDP }), SDP);
});

test("bandwidth stands behind c=, once, and for video only", () => {
  const limited = withVideoBandwidth(SDP, 500);
  assert.equal(limited.match(/b=AS:/g).length, 1);
  assert.match(limited, /m=video[^\r]*\r\nc=[^\r]*\r\nb=AS:500\r\na=mid:1/);
});

test("what each m-line is", () => {
  assert.deepEqual(mediaLines(SDP), [{ kind: "audio", mid: "0", direction: "sendrecv" }, { kind: "video", mid: "1", direction: "none" }]);
});

test("a configuration that cannot be is refused by type", () => {
  const refused = (configuration, words) => assert.throws(() => readConfiguration(configuration), (error) =>
    error.name === "CONFIGURATION_ERROR" && words.test(error.message));
  refused(undefined, /webrtc_gateway/);
  refused({}, /webrtc_gateway/);
  refused({ webrtc_gateway: "http://g", nonsense: 1 }, /nonsense/);
  refused({ webrtc_gateway: "http://g", turn_server: "t:3478", turn_username: "u" }, /turn_password/);
});

test("defaults and limits of the configuration", () => {
  const read = (more = {}) => readConfiguration({ webrtc_gateway: "https://g:8086", ...more });
  assert.deepEqual(read(), {
    gateway: "https://g:8086", iceServers: undefined, dtls: true, ipv6: false, noanswer: 60000, ice: 1000, polling: 30000, optimized: false, rsa: false,
  });
  for (const [key, name, cases] of [
    ["noanswer_timeout", "noanswer", [[17999, 60000], [18000, 18000], ["90000", 90000], ["x", 60000]]],
    ["ice_timeout", "ice", [[999, 1000], [3000, 3000]]],
    ["polling_timeout", "polling", [[0, 0], ["0", 0], [1, 30000], [9999, 30000], [10000, 10000], ["", 30000]]],
  ]) {
    cases.forEach(([given, held]) => assert.equal(read({ [key]: given })[name], held, `${key}=${given}`));
  }
  assert.deepEqual([read({ dtls_srtp: "false" }).dtls, read({ dtls_srtp: undefined }).dtls, read({ enable_ipv6: "true" }).ipv6], [false, true, true]);
});

test("STUN and TURN servers get their scheme", () => {
  const { iceServers } = readConfiguration({
    webrtc_gateway: "http://g", stun_server: "a:3478, b", turn_server: "c:443?transport=tcp,turns:d:443", turn_username: "u", turn_password: "p",
  });
  assert.deepEqual(iceServers, [
    { urls: "stun:a:3478" }, { urls: "stun:b" },
    { urls: "turn:c:443?transport=tcp", username: "u", credential: "p" }, { urls: "turns:d:443", username: "u", credential: "p" },
  ]);
});

test("constraints of either form", () => {
  const said = [];
  const modern = (constraints) => modernConstraints(constraints, (sentence) => said.push(sentence));
  assert.deepEqual([modern(true), modern(false), modern(undefined), modern(null)], [true, false, false, false]);
  const today = { width: { ideal: 640 } };
  assert.equal(modern(today), today);
  assert.deepEqual(modern({ mandatory: { maxWidth: 640, minWidth: 320, maxHeight: 360, googEchoCancellation: false }, optional: [{ maxFrameRate: 15 }, { sourceId: "x" }] }), {
    width: { max: 640, min: 320 }, height: { max: 360 }, echoCancellation: { exact: false }, frameRate: { ideal: 15 }, deviceId: { ideal: "x" },
  });
  assert.equal(modern({ mandatory: { chromeMediaSource: "screen" } }).screen, true);
  modern({ optional: [{ googCpuOveruseDetection: true }] });
  assert.deepEqual(said, ["No browser of today knows the constraint googCpuOveruseDetection."]);
});

test("video by name", () => {
  assert.deepEqual([VideoConstraints.qvga(), VideoConstraints.vga(), VideoConstraints.hd(), VideoConstraints.custom(1, 2)].map(({ width, height }) => [width.max, height.max]),
    [[320, 180], [640, 360], [1280, 720], [1, 2]]);
  assert.deepEqual(VideoConstraints.screen([800, 600]), { screen: true, frameRate: { min: 1, max: 5 }, width: { max: 800 }, height: { max: 600 } });
});

test("which browser it is", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
  const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
  assert.deepEqual([chrome, firefox, `${chrome} Edg/150.0`, "x"].map(getWebrtcDetectedBrowser), ["chrome", "firefox", "edge", "unknown"]);
  assert.deepEqual([chrome, firefox].map(getWebrtcDetectedVersion), [156, 153]);
  assert.ok(getWebrtcMinimumVersion(firefox) > 100);
});

test("names of those who have none", () => {
  assert.match(anonymous(), /^anon[0-9a-f]{32}$/);
  assert.notEqual(anonymous(), anonymous());
});

test("a gateway's address", () => {
  assert.equal(gatewayOf("https://g.example:8086/"), "https://g.example:8086");
  assert.equal(gatewayOf("https://g.example/base/?x#y"), "https://g.example/base");
  for (const wrong of ["", "g.example:8086", "ftp://g", undefined]) {
    assert.throws(() => gatewayOf(wrong), { name: "CONFIGURATION_ERROR" });
  }
});

/** Those of a session; `answers` has one for each time that the gateway is asked, and `asked` what it is asked. */
function offered(context, answers, id = "a b") {
  context.mock.timers.enable({ apis: ["Date"], now: 1000000 });
  const asked = [];
  const logged = [];
  context.mock.method(globalThis, "fetch", async (address, options) => {
    asked.push(address);
    const answer = answers.shift();
    if (answer instanceof Error) {
      throw answer;
    }
    assert.equal(options.credentials, "include");
    assert.ok(options.signal instanceof AbortSignal);
    return { ok: answer.status === undefined, status: answer.status ?? 200, json: async () => answer };
  });
  const servers = new OfferedServers({ gateway: "https://g:8086", id, log: (level, message) => logged.push(`${level}: ${message}`) });
  return { servers, asked, logged, wait: (seconds) => context.mock.timers.tick(seconds * 1000) };
}

const TURN = { urls: "turn:g:443", username: "u", credential: "p" };

test("ICE servers are asked for by session, and anew when half their time is over", async (context) => {
  const { servers, asked, wait } = offered(context, [{ iceServers: [TURN], lifetime: 600 }, { iceServers: [], lifetime: 600 }]);
  assert.deepEqual(await Promise.all([servers.get(), servers.get()]), [[TURN], [TURN]]);
  wait(299);
  assert.deepEqual(await servers.get(), [TURN]);
  assert.deepEqual(asked, ["https://g:8086/api/ice-servers?id=a%20b"]);
  wait(2);
  assert.deepEqual(await servers.get(), []);
  assert.equal(asked.length, 2);
});

test("ICE servers serve as long as they are good, whatever becomes of the next ones", async (context) => {
  const { servers, logged, wait } = offered(context, [{ iceServers: [TURN], lifetime: 600 }, new Error("lost"), { status: 503 }], null);
  await servers.get();
  wait(310);
  assert.deepEqual(await servers.get(), [TURN]);
  wait(291);
  assert.deepEqual(await servers.get(), []);
  assert.deepEqual(logged, Array(2).fill("notice: The gateway offers no ICE servers"));
});

test("a gateway that has no ICE servers is not asked for them with each call", async (context) => {
  const { servers, asked, wait } = offered(context, [{ status: 404 }]);
  assert.deepEqual(await servers.get(), []);
  wait(100000);
  assert.deepEqual(await servers.get(), []);
  assert.equal(asked.length, 1);
});

test("a gateway that cannot be reached, or whose answer is none, is asked again a minute later", async (context) => {
  const { servers, asked, logged, wait } = offered(context, [new Error("unreachable"), {}, { iceServers: [TURN], lifetime: 0 }]);
  for (let minute = 0; minute < 2; minute += 1) {
    assert.deepEqual(await servers.get(), []);
    wait(59);
    assert.deepEqual(await servers.get(), []);
    wait(2);
  }
  assert.deepEqual(await servers.get(), [TURN]);
  assert.equal(asked.length, 3);
  assert.equal(logged.length, 2);
});

test("a relay without a password is left out, and that is told", async (context) => {
  const { servers, logged } = offered(context, [{ iceServers: [{ urls: "stun:g:443" }, { urls: "turns:g:443" }, TURN], lifetime: 600 }]);
  assert.deepEqual(await servers.get(), [{ urls: "stun:g:443" }, TURN]);
  assert.equal(logged.length, 1);
});

test("nobody waits longer than two seconds for ICE servers", async (context) => {
  const patience = new AbortController();
  const times = [];
  context.mock.method(AbortSignal, "timeout", (milliseconds) => { times.push(milliseconds); return patience.signal; });
  context.mock.method(globalThis, "fetch", (address, { signal }) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  }));
  const waiting = new OfferedServers({ gateway: "https://g", id: "x", log: () => {} }).get();
  patience.abort();
  assert.deepEqual(await waiting, []);
  assert.ok(times.length === 1 && times[0] <= 2000);
});
