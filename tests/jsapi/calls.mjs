// Calls between two pages that use the module, over a gateway that is none.
// node calls.mjs '["call", ...]': prints {name: what came of it} for each scenario.

import { FakeGateway } from "./gateway.mjs";
import { modulePage, until, withBrowser } from "./pages.mjs";

const scenarios = {
  /** Sound goes both ways, video one way and the other; then one hangs up. */
  async call({ a, b, gateway }) {
    await dial(a, { audio: true, video: true }, { answer: { audio: true, video: true } }, b);
    const heard = await Promise.all([a, b].map((page) => page.evaluate(() => loudness(call.remoteStream))));
    const seen = await Promise.all([a, b].map((page) => page.evaluate(watched)));
    const statistics = await a.evaluate(() => call.statistics());
    const gatewayStatistics = await a.evaluate(() => call.gatewayStatistics());
    await b.evaluate(() => call.hangUp());
    const ends = await Promise.all([a, b].map((page) => page.evaluate(ending)));
    const open = await a.evaluate(() => client.call === null && pc.connectionState === "closed");
    const offer = JSON.parse(gateway.posted("1001")[0].slice(5));
    return { heard, seen, statistics, gatewayStatistics, ends, open, offer, texts: gateway.posted("1001").map((text) => text.slice(0, 24)) };
  },

  async holdAndResume({ a, b }) {
    await dial(a, { audio: true }, {}, b);
    await a.evaluate(() => call.hold());
    const held = await Promise.all([a, b].map((page) => page.evaluate(picture)));
    const silence = await b.evaluate(() => loudness(call.remoteStream, 600));
    await a.evaluate(() => call.resume());
    const resumed = await Promise.all([a, b].map((page) => page.evaluate(picture)));
    const sound = await b.evaluate(() => loudness(call.remoteStream));
    await b.evaluate(() => call.hold("sendonly"));
    const music = await Promise.all([a, b].map((page) => page.evaluate(picture)));
    const heard = await a.evaluate(() => loudness(call.remoteStream));
    return { held, silence, resumed, sound, music, heard };
  },

  /** Video comes, goes and comes again on the same m-line. */
  async addVideo({ a, b }) {
    await dial(a, { audio: true }, {}, b);
    const lines = async () => a.evaluate(() => pc.localDescription.sdp.match(/^m=\w+ \d+|^a=(sendrecv|sendonly|recvonly|inactive)/gm).join(" "));
    const answer = [await lines()];
    await a.evaluate(() => client.addVideo());
    answer.push(await lines());
    const seen = await b.evaluate(watched);
    await b.evaluate(() => client.addVideo());
    answer.push(await lines());
    const back = await a.evaluate(watched);
    await a.evaluate(() => call.removeVideo());
    answer.push(await lines());
    await a.evaluate(() => client.addVideo());
    answer.push(await lines());
    return { answer, seen, back, sound: await b.evaluate(() => loudness(call.remoteStream)) };
  },

  async digits({ a, b }) {
    await dial(a, { audio: true }, {}, b);
    return a.evaluate(async () => {
      const tones = [];
      const sender = call.connection.transceiver("audio").sender.dtmf;
      sender.addEventListener("tonechange", ({ tone }) => tones.push(tone));
      const answers = [call.sendDigits("12#", { duration: 10, gap: 10 }), call.sendDigits("hello")];
      await until(() => tones.includes(""));
      return { tones, answers };
    });
  },

  async data({ a, b, gateway }) {
    await dial(a, { audio: true }, {}, b, [{ key: "Skill", value: "Sales" }]);
    const attached = await b.evaluate(() => call.attachedData);
    await a.evaluate(() => call.sendToPeer({ text: "a b&c", more: "=" }));
    await a.evaluate(() => call.sendToServer({ CallType: "café" }));
    await b.evaluate(() => until(() => events.some(({ type }) => type === "data")));
    const heard = await b.evaluate(() => events.find(({ type }) => type === "data").detail);
    return { attached, heard, posted: gateway.posted("1001").filter((text) => text.startsWith("INFO")) };
  },

  async reject({ a, b }) {
    await b.evaluate(() => { globalThis.answer = null; });
    await a.evaluate(() => client.dial("1002", { audio: true }));
    await b.evaluate(async () => { await until(() => client.call?.ringing); client.call.reject(); });
    return Promise.all([a, b].map((page) => page.evaluate(ending)));
  },

  async noAnswer({ a, gateway }) {
    await a.evaluate(() => { client.options.noAnswerTimeout = 300; return client.dial("nobody", { audio: true }); });
    return { ending: await a.evaluate(ending), last: gateway.posted("1001").at(-1) };
  },

  async refused({ a }) {
    await a.evaluate(() => client.dial("488", { audio: true }));
    return a.evaluate(ending);
  },

  /** The BYE comes while the ERROR before it is still being taken in. */
  async refusedInOneGo({ a }) {
    await a.evaluate(() => {
      const real = RTCPeerConnection.prototype.setLocalDescription;
      RTCPeerConnection.prototype.setLocalDescription = async function later(description) {
        if (description?.type === "rollback") {
          await new Promise((resolve) => { setTimeout(resolve, 500); });
        }
        return real.call(this, description);
      };
      return client.dial("488", { audio: true });
    });
    return a.evaluate(ending);
  },

  /** The BYE behind the ERROR comes when there is another call, to somebody else or to the same. */
  async redial({ a, b, gateway }) {
    gateway.keepsBye = true;
    await a.evaluate(async () => {
      await client.dial("488", { audio: true });
      await until(() => client.call === null);
    });
    await dial(a, { audio: true }, {}, b);
    gateway.tell("1001", "BYE", "488");
    gateway.tell("1001", "INFO-PEER after=all", "1002");
    await a.evaluate(() => until(() => events.some(({ type }) => type === "data")));
    const spared = await a.evaluate(() => call.ended);
    gateway.tell("1001", "BYE", "1002");
    return [spared, await a.evaluate(async () => { await until(() => call.ended !== null); return call.ended; })];
  },

  async busy({ a }) {
    await a.evaluate(() => client.dial("nobody", { audio: true }));
    return a.evaluate(() => client.dial("1002", { audio: true }).catch(({ name, message }) => `${name}: ${message}`));
  },

  /** Polls fail for a while; the call that is offered meanwhile comes through. */
  async pollLoss({ a, b, gateway }) {
    let failures = 0;
    gateway.faults.wait = ({ user }) => (user === "1002" && failures++ < 3 ? ["drop", 500, 503][failures - 1] : 0);
    await until(() => gateway.of("1002").waiting !== null);
    gateway.of("1002").waiting.destroy();
    await dial(a, { audio: true }, {}, b);
    return b.evaluate(() => ({ states: events.filter(({ type }) => type === "client").map(({ detail }) => detail.state), established: call.established }));
  },

  /** A POST that fails is sent again, the same text, and what comes after it waits. */
  async postAgain({ a, b, gateway }) {
    let failures = 0;
    gateway.faults.message = ({ user }) => (user === "1001" && failures++ < 2 ? 503 : 0);
    await dial(a, { audio: true }, {}, b);
    return { failures, posted: gateway.posted("1001").map((text) => text.slice(0, 26)), posts: gateway.requests.filter((each) => each.startsWith("POST /message")).length };
  },

  /** Both hold at one moment, so that both offers are out before either arrives. */
  async glare({ a, b, gateway }) {
    await dial(a, { audio: true }, {}, b);
    await b.evaluate(() => until(() => call.state === "established"));
    gateway.hold = true;
    const changes = [a.evaluate(() => call.hold()), b.evaluate(() => client.addVideo())];
    await until(() => gateway.held.filter(({ text }) => text.includes('"OFFER"')).length === 2);
    const ties = gateway.held.filter(({ text }) => text.includes('"OFFER"')).map(({ text }) => JSON.parse(text.slice(5)).tiebreaker);
    gateway.release();
    await Promise.all(changes);
    await a.evaluate(() => until(() => call.state === "established"));
    const pictures = await Promise.all([a, b].map((page) => page.evaluate(picture)));
    const lines = await a.evaluate(() => pc.localDescription.sdp.match(/^m=\w+/gm));
    return { ties, pictures, lines, errors: gateway.received.filter(({ text }) => text.includes("CONFLICT")).length };
  },

  /** The same message once more changes nothing. */
  async twice({ a, b, gateway }) {
    await dial(a, { audio: true }, {}, b);
    const [offer] = gateway.posted("1001");
    const before = gateway.posted("1002").length;
    gateway.tell("1002", `SDP OFFER ${offer.slice(5)}`, "1001");
    await until(() => gateway.posted("1002").length > before);
    const [first, again] = gateway.posted("1002");
    return { same: first === again, established: await b.evaluate(() => call.established), incoming: await b.evaluate(() => events.filter(({ type }) => type === "incoming").length) };
  },

  /** The gateway forgot the session, as after a restart: the page signs in again, and calls work. */
  async forgotten({ a, b, gateway }) {
    gateway.sessions.delete(gateway.of("1001").id);
    for (const session of gateway.sessions.values()) {
      session.waiting?.destroy();
    }
    gateway.server.closeAllConnections();
    await until(() => gateway.of("1001") !== null);
    await a.evaluate(() => until(() => client.state === "signed-in"));
    await dial(a, { audio: true }, {}, b);
    return a.evaluate(() => call.established);
  },

  async signInRefused({ a, gateway }) {
    gateway.refuses.add("1003");
    return a.evaluate(async () => {
      const error = await client.signIn("1003").catch(({ name, status, message }) => ({ name, status, message }));
      return { error, state: client.state };
    });
  },

  /** Leaving the page hangs up and signs out. */
  async leave({ a, b, gateway }) {
    await dial(a, { audio: true }, {}, b);
    await a.goto("about:blank");
    await until(() => gateway.of("1001") === null);
    return { texts: gateway.posted("1001").slice(-1), ending: await b.evaluate(ending) };
  },

  /** The media's path is lost: a new one is offered, with new ICE credentials. */
  async restart({ a, b }) {
    await dial(a, { audio: true }, {}, b);
    await connected(a);
    return a.evaluate(async () => {
      const credentials = () => pc.localDescription.sdp.match(/^a=ice-ufrag:.*/m)[0];
      const before = credentials();
      Object.defineProperty(pc, "connectionState", { configurable: true, get: () => "failed" });
      pc.dispatchEvent(new Event("connectionstatechange"));
      await until(() => credentials() !== before && call.state === "established");
      delete pc.connectionState;
      pc.dispatchEvent(new Event("connectionstatechange"));
      await until(() => pc.connectionState === "connected");
      return events.filter(({ type }) => type === "connection").map(({ detail }) => detail.state);
    });
  },

  /** Nothing is heard for some seconds: no need to wait until the browser gives the path up. */
  async interruption({ a, b }) {
    await dial(a, { audio: true }, {}, b);
    await connected(a);
    return a.evaluate(async () => {
      const credentials = () => pc.localDescription.sdp.match(/^a=ice-ufrag:.*/m)[0];
      const before = credentials();
      const look = (state) => {
        Object.defineProperty(pc, "connectionState", { configurable: true, get: () => state });
        pc.dispatchEvent(new Event("connectionstatechange"));
      };
      look("disconnected");
      look("connected");
      look("disconnected");
      await until(() => credentials() !== before && call.state === "established");
      look("connected");
      return events.filter(({ type }) => type === "connection").map(({ detail }) => detail.state);
    });
  },

  async talkAndHold({ a, b, gateway }) {
    await b.evaluate(() => { globalThis.answer = null; });
    await a.evaluate(() => client.dial("1002", { audio: true }));
    await b.evaluate(() => until(() => client.call?.ringing));
    gateway.tell("1002", "EVENT-TALK", "1001");
    await a.evaluate(() => client.call.answered());
    gateway.tell("1002", "EVENT-HOLD", "1001");
    await a.evaluate(() => until(() => client.call.heldByPeer));
    gateway.tell("1002", "EVENT-TALK", "1001");
    await a.evaluate(() => until(() => !client.call.heldByPeer));
    await b.evaluate(() => { client.call.on("asked", (event) => event.preventDefault()); });
    gateway.tell("1002", "EVENT-HOLD", "1001");
    await b.evaluate(() => until(() => events.filter(({ type }) => type === "asked").length === 4));
    return b.evaluate(() => ({ asked: events.filter(({ type }) => type === "asked").map(({ detail }) => detail.what), held: client.call.held }));
  },

  /** A call without an offer: the browser that accepts makes it. */
  async invite({ a, b, gateway }) {
    await a.evaluate(() => { globalThis.answer = null; });
    gateway.tell("1001", "INVITE", "1002");
    await a.evaluate(async () => { await until(() => client.call?.ringing); await client.accept({ audio: true }); });
    await b.evaluate(() => until(() => call?.established));
    gateway.tell("1001", "INVITE", "1002");
    await until(() => gateway.posted("1001").filter((text) => text.includes('"OFFER"')).length === 2);
    await a.evaluate(() => until(() => client.call.state === "established"));
    return gateway.posted("1001").map((text) => text.slice(0, 24));
  },

  /** An application of another origin: its session is offered what the gateway has, and a connection uses it. */
  async offered({ b, gateway, context }) {
    gateway.iceServers = OFFERED;
    const page = await elsewhere(context, gateway);
    await page.evaluate((kinds) => client.dial("1002", kinds), { audio: true });
    await b.evaluate(() => until(() => call?.established));
    const { servers, logged } = await page.evaluate(told);
    const asked = gateway.requests.filter((each) => each.includes("ice-servers") && each.includes(gateway.of("1003").id));
    return { servers, logged, asked: asked.map((each) => each.replace(/=.*/, "=SID")) };
  },

  /** A gateway that knows nothing of them, that breaks the connection, or that never answers. */
  async nothingOffered({ b, gateway, context }) {
    const answer = {};
    for (const [name, fault] of Object.entries({ unknown: 404, broken: "drop", silent: "silence" })) {
      gateway.faults["api/ice-servers"] = () => fault;
      const page = await elsewhere(context, gateway);
      const begun = Date.now();
      await page.evaluate((kinds) => client.dial("1002", kinds), { audio: true });
      await b.evaluate(() => until(() => call?.established));
      answer[name] = { ...await page.evaluate(told), soon: Date.now() - begun < 8000 };
      await page.evaluate(() => client.signOut());
      await b.evaluate(() => until(() => client.call === null));
    }
    return answer;
  },

  /** What the application names goes first: the gateway is not asked. */
  async ownServers({ b, gateway, context }) {
    gateway.iceServers = OFFERED;
    const page = await elsewhere(context, gateway, { iceServers: [{ urls: "stun:127.0.0.1:9" }] });
    await page.evaluate((kinds) => client.dial("1002", kinds), { audio: true });
    await b.evaluate(() => until(() => call?.established));
    const { servers } = await page.evaluate(told);
    return { servers, asked: gateway.requests.some((each) => each.includes("ice-servers") && each.includes(gateway.of("1003").id)) };
  },

  /** Old clients say RTP/SAVPF, name the wrong mid, put "a=" before candidates and end them with an empty one. */
  async oldTexts({ a, b, gateway }) {
    const tell = gateway.tell.bind(gateway);
    gateway.tell = (user, text, peer) => tell(user, text.startsWith("SDP") || text.includes('"ANSWER"') ? aged(text) : text, peer);
    await dial(a, { audio: true, video: true }, { answer: { audio: true, video: true } }, b);
    return Promise.all([a, b].map((page) => page.evaluate(() => loudness(call.remoteStream))));
  },
};

const OFFERED = [{ urls: "turn:127.0.0.1:9?transport=udp", username: "600:1003", credential: "p" }, { urls: "turn:127.0.0.1:10" }];

/** A page of another origin than the gateway's that has signed in there as 1003. */
async function elsewhere(context, gateway, options = {}) {
  const other = await new FakeGateway().listen();
  const page = await modulePage(context, other);
  await page.evaluate(async ([url, more]) => {
    globalThis.logged = [];
    globalThis.client = new grtc.Client({ gateway: url, log: (level, message) => logged.push(`${level}: ${message}`), ...more });
    client.on("trouble", ({ detail }) => logged.push(`trouble: ${detail.error}`));
    client.on("call", ({ detail }) => {
      detail.call.on("state", () => { globalThis.pc = detail.call.connection?.pc ?? globalThis.pc; });
    });
    await client.signIn("1003");
  }, [gateway.url, options]);
  await other.close();
  return page;
}

function aged(text) {
  const from = text.indexOf("{");
  const message = JSON.parse(text.slice(from));
  message.sdp = message.sdp.replaceAll("UDP/TLS/RTP/SAVPF", "RTP/SAVPF");
  message.Candidates = message.Candidates.map(({ sdpMLineIndex, candidate }) =>
    ({ sdpMLineIndex, sdpMid: ["audio", "video"][sdpMLineIndex], candidate: `a=${candidate}\r\n` }));
  message.Candidates.push({ sdpMLineIndex: 0, sdpMid: "0", candidate: "" });
  return text.slice(0, from) + JSON.stringify(message);
}

/** From one page to the other, and wait until it is answered. */
async function dial(a, media, { answer = { audio: true } } = {}, b, data = []) {
  await b.evaluate((kinds) => { globalThis.answer = kinds; }, answer);
  await a.evaluate(async ([kinds, attached]) => { await (await client.dial("1002", kinds, { data: attached })).answered(); }, [media, data]);
  await b.evaluate(() => until(() => call.established));
  await Promise.all([connected(a), connected(b)]);
}

function connected(page) {
  return page.evaluate(() => until(() => pc.connectionState === "connected"));
}

// These run in a page.

function told() {
  const servers = pc.getConfiguration().iceServers.map(({ urls, username }) => [urls, username ?? ""].flat());
  return { servers, logged: logged.filter((line) => !line.startsWith("debug")) };
}

function picture() {
  const direction = (kind) => call.connection.transceiver(kind)?.currentDirection ?? null;
  return { held: call.held, heldByPeer: call.heldByPeer, audio: direction("audio"), video: direction("video") };
}

async function watched() {
  const view = document.createElement("video");
  view.muted = true;
  await until(() => call.remoteStream?.getVideoTracks().length > 0);
  view.srcObject = call.remoteStream;
  await view.play();
  await until(() => view.getVideoPlaybackQuality().totalVideoFrames > 5);
  return [view.videoWidth, view.videoHeight];
}

async function ending() {
  await until(() => events.some(({ type }) => type === "ended"));
  const { cause, error } = events.find(({ type }) => type === "ended").detail;
  return { cause, error: error?.message ?? null, type: error?.errorType ?? null, call: client.call };
}

async function signIn(user) {
  globalThis.answer = { audio: true };
  globalThis.call = null;
  globalThis.client = new grtc.Client({ retryDelay: 150 });
  client.on("state", ({ detail }) => events.push({ type: "client", detail }));
  client.on("incoming", ({ detail }) => {
    events.push({ type: "incoming", detail: detail.event });
    if (answer !== null) {
      client.accept(answer);
    }
  });
  client.on("call", ({ detail }) => {
    globalThis.call = detail.call;
    for (const type of ["ended", "data", "asked", "connection", "trouble", "refused"]) {
      call.on(type, (event) => events.push({ type, detail: event.detail }));
    }
    call.on("state", () => { globalThis.pc = call.connection?.pc ?? globalThis.pc; });
  });
  await client.signIn(user);
}

async function played(browser, scenario) {
  const gateway = await new FakeGateway().listen();
  const context = await browser.newContext();
  const complaints = [];
  try {
    const [a, b] = [await modulePage(context, gateway, complaints), await modulePage(context, gateway, complaints)];
    await a.evaluate(signIn, "1001");
    await b.evaluate(signIn, "1002");
    return { result: await scenario({ a, b, gateway, context }), complaints };
  } catch (error) {
    return { error: String(error), complaints };
  } finally {
    await context.close();
    await gateway.close();
  }
}

const chosen = process.argv[2] ? JSON.parse(process.argv[2]) : Object.keys(scenarios);
await withBrowser(async (browser) => {
  const answer = {};
  for (const name of chosen) {
    answer[name] = await played(browser, scenarios[name]);
  }
  return answer;
});
