// Existing applications: the global Grtc beside jQuery, used as they use it.
// node classic.mjs '["call", ...]': prints {name: what came of it} for each scenario.

import { readFileSync } from "node:fs";
import { FakeGateway } from "./gateway.mjs";
import { classicPage, until, withBrowser } from "./pages.mjs";

const scenarios = {
  /** Register, call, hold, resume, data, digits, statistics, hang up; with the events of both sides in order. */
  async call({ a, b, gateway }) {
    await Promise.all([a.evaluate(register, "1001"), b.evaluate(register, "1002")]);
    await a.evaluate(() => {
      session.setData([{ key: "Skill", value: "Sales" }]);
      session.makeOffer("1002", true, false);
    });
    await Promise.all([a, b].map((page) => page.evaluate(() => until(() => client.callState === 3 && session.isEstablished()))));
    await b.evaluate(() => until(() => names().includes("onRemoteStream")));
    const heard = await b.evaluate(() => loudness(remote));
    const offered = await b.evaluate(() => session.getData());
    const first = await a.evaluate(() => names());
    const answered = await b.evaluate(() => names());
    await a.evaluate(async () => { session.holdCall(); await until(() => client.onHold); });
    await b.evaluate(() => until(() => names().includes("onSessionHold")));
    await a.evaluate(async () => { session.resumeCall(); await until(() => !client.onHold && session.isEstablished()); });
    const enabled = await a.evaluate(() => {
      const answer = [session.hasAudioEnabled(), session.hasVideoEnabled()];
      session.updateCall(false);
      answer.push(session.hasAudioEnabled());
      session.updateCall(true);
      return [...answer, session.hasAudioEnabled(), session.sendDTMF("1"), session.sendDTMF("x")];
    });
    await a.evaluate(() => { session.sendInfo({ text: "a b" }, false); session.sendInfo({ CallType: "x" }); session.getServerStats(); });
    await a.evaluate(() => until(() => names().includes("onStatsFromServer")));
    await b.evaluate(() => until(() => names().includes("onInfoFromPeer")));
    const information = await b.evaluate(() => fired.find(([name]) => name === "onInfoFromPeer")[1]);
    await b.evaluate(() => session.terminateCall());
    await a.evaluate(() => until(() => names().includes("onPeerClosing")));
    const ends = await Promise.all([a, b].map((page) => page.evaluate(() => [client.callState, client.pcCaller, session.state, client.call])));
    await a.evaluate(() => client.disconnect());
    const out = await a.evaluate(() => [client.registeredSSID, names().at(-1)]);
    const jquery = await a.evaluate(() => [typeof jQuery.Callbacks, $ === jQuery]);
    return { heard, offered, first, answered, enabled, information, ends, out, jquery, posted: gateway.posted("1001").filter((text) => text.startsWith("INFO") || text.startsWith("GET")) };
  },

  /** On a page of another origin, without servers of its own. */
  async offered({ b, gateway, context }) {
    gateway.iceServers = [{ urls: "turn:127.0.0.1:9?transport=udp", username: "600:1003", credential: "p" }];
    const other = await new FakeGateway().listen();
    const page = await classicPage(context, other);
    await page.evaluate((url) => { globalThis.gatewayUrl = url; }, gateway.url);
    await Promise.all([page.evaluate(register, "1003"), b.evaluate(register, "1002")]);
    await page.evaluate(() => session.makeOffer("1002", true, false));
    await page.evaluate(() => until(() => session.isEstablished()));
    await other.close();
    return page.evaluate(() => client.pcCaller.getConfiguration().iceServers.map(({ urls, username }) => [urls, username].flat()));
  },

  async video({ a, b, gateway }) {
    await Promise.all([a.evaluate(register, "1001"), b.evaluate(register, "1002")]);
    await a.evaluate(() => { client.filterIceCandidates = (list) => list.filter(({ candidate }) => !candidate.includes(" tcp ")); session.makeOffer("1002", true, false); });
    await a.evaluate(() => until(() => session.isEstablished()));
    await b.evaluate(() => until(() => session.isEstablished()));
    await a.evaluate(async () => {
      client.enableMediaSource(true, Grtc.VideoConstraints.qvga());
      await until(() => client.localStream.getVideoTracks().length === 1);
      session.makeOffer(0, true, true);
    });
    await b.evaluate(() => until(() => remote?.getVideoTracks().length === 1));
    const size = await b.evaluate(async () => {
      const view = document.createElement("video");
      view.muted = true;
      client.setViewFromStream($(view), remote);
      await until(() => view.videoWidth > 0);
      return [view.videoWidth, view.videoHeight];
    });
    const offers = gateway.posted("1001").filter((text) => text.includes('"OFFER"')).map((text) => JSON.parse(text.slice(5)));
    return {
      size, lines: offers.map(({ sdp }) => sdp.match(/^m=\w+/gm)), limit: offers[1].sdp.match(/^b=AS:\d+/gm),
      tcp: offers.some(({ Candidates }) => Candidates.some(({ candidate }) => candidate.includes(" tcp "))), count: offers[0].Candidates.length,
    };
  },

  async rejected({ a, b }) {
    await Promise.all([a.evaluate(register, "1001"), b.evaluate(register, "1002")]);
    await b.evaluate(() => { globalThis.onRing = () => session.rejectCall(); });
    await a.evaluate(() => session.makeCall("1002", true, false));
    await a.evaluate(() => until(() => names().includes("onPeerClosing")));
    return a.evaluate(() => [client.callState, names()]);
  },

  async noAnswer({ a }) {
    await a.evaluate(register, "1001");
    await a.evaluate(() => { client.noansTimeout = 300; session.makeOffer("nobody", true, false); });
    await a.evaluate(() => until(() => names().includes("onPeerNoanswer")));
    return a.evaluate(() => client.callState);
  },

  async refused({ a }) {
    await a.evaluate(register, "1001");
    await a.evaluate(() => session.makeOffer("488", true, false));
    await a.evaluate(() => until(() => names().includes("onGatewayError")));
    return a.evaluate(() => fired.find(([name]) => name === "onGatewayError")[1]);
  },

  /** Talk answers a ringing call, hold holds it; both are told. */
  async talk({ a, b, gateway }) {
    await Promise.all([a.evaluate(register, "1001"), b.evaluate(register, "1002")]);
    await b.evaluate(() => { globalThis.onRing = () => {}; });
    await a.evaluate(() => session.makeOffer("1002", true, false));
    await b.evaluate(() => until(() => names().includes("onIncomingCall")));
    gateway.tell("1002", "EVENT-TALK", "1001");
    await a.evaluate(() => until(() => session.isEstablished()));
    gateway.tell("1002", "EVENT-HOLD", "1001");
    await b.evaluate(() => until(() => client.onHold));
    return b.evaluate(() => fired.filter(([name]) => name === "onNotifyEvent").map(([, value]) => value));
  },

  /** The application's answer to lost media is an offer, and that restarts ICE. */
  async iceLost({ a, b }) {
    await Promise.all([a.evaluate(register, "1001"), b.evaluate(register, "1002")]);
    await a.evaluate(() => session.makeOffer("1002", true, false));
    await a.evaluate(() => until(() => client.pcCaller?.connectionState === "connected"));
    return a.evaluate(async () => {
      const pc = client.pcCaller;
      const credentials = () => pc.localDescription.sdp.match(/^a=ice-ufrag:.*/m)[0];
      const before = credentials();
      client.onIceDisconnected.add(() => session.makeOffer());
      Object.defineProperty(pc, "connectionState", { configurable: true, get: () => "failed" });
      pc.dispatchEvent(new Event("connectionstatechange"));
      delete pc.connectionState;
      await until(() => credentials() !== before && session.isEstablished());
      return fired.find(([name]) => name === "onIceDisconnected")[1];
    });
  },

  /** A failing poll is told, tried again, and calls work after it. */
  async pollLoss({ a, gateway }) {
    await a.evaluate(register, "1001");
    await until(() => gateway.of("1001").waiting !== null);
    let failures = 0;
    gateway.faults.wait = () => (failures++ < 1 ? 500 : 0);
    gateway.of("1001").waiting.destroy();
    await a.evaluate(() => until(() => names().includes("onConnectionError")));
    await until(() => gateway.of("1001").waiting !== null);
    return a.evaluate(() => [fired.filter(([name]) => name === "onConnectionError").map(([, value]) => value.status), client.registeredSSID === -1]);
  },

  /** A success that is no message ends the session, as it ever did. */
  async dismissed({ a, gateway }) {
    await a.evaluate(register, "1001");
    await until(() => gateway.of("1001").waiting !== null);
    const { waiting } = gateway.of("1001");
    waiting.writeHead(204);
    waiting.end();
    await a.evaluate(() => until(() => names().includes("onPeerClosing")));
    return a.evaluate(() => client.registeredSSID);
  },

  async signIn({ a, gateway }) {
    gateway.refuses.add("1009");
    return a.evaluate(async (url) => {
      const seen = [];
      const one = new Grtc.Client({ webrtc_gateway: url, sip_username: "1003", sip_password: "p:w" });
      for (const name of ["onConnect", "onRegister", "onFailed", "onDisconnect"]) {
        one[name].add((value) => seen.push([name, value]));
      }
      one.connect();
      await until(() => seen.some(([name]) => name === "onConnect"));
      const anonymous = one.publicId;
      one.register();
      await until(() => seen.some(([name]) => name === "onRegister"));
      const registered = [one.publicId, one.registeredSSID.length];
      one.register("1009");
      await until(() => seen.some(([name]) => name === "onFailed"));
      return { names: seen.map(([name]) => name), anonymous, registered, failed: seen.find(([name]) => name === "onFailed")[1], out: one.registeredSSID };
    }, gateway.url).then((answer) => ({ ...answer, requests: gateway.requests.filter((each) => each.includes("sign_in")) }));
  },

  async errors({ a, gateway }) {
    return a.evaluate((url) => {
      const thrown = (act) => {
        try {
          act();
          return "nothing";
        } catch (error) {
          return [error instanceof Grtc.Error, error.name];
        }
      };
      const said = [];
      Grtc.setExternalLogger({ info: (line) => said.push(line) });
      const one = new Grtc.Client({ webrtc_gateway: url, dtls_srtp: "false" });
      one.setRenewSessionOnNeed(true);
      const session = new Grtc.MediaSession(one);
      one.setLogLevel(Grtc.LOG_LEVEL_NONE);
      session.makeOffer("1002");
      one.setLogLevel(Grtc.LOG_LEVEL_ERROR);
      session.makeOffer("1002");
      return {
        thrown: [
          thrown(() => new Grtc.Client({})), thrown(() => new Grtc.Client({ webrtc_gateway: url, x: 1 })), thrown(() => one.register()),
          thrown(() => session.setData([])), thrown(() => session.setData([{ key: "a", value: "b", more: 1 }])), thrown(() => session.setData("x")),
        ],
        said, status: [session.state, session.isEstablished(), session.sendDTMF("1")],
      };
    }, gateway.url);
  },

  /** Every name of the declarations is there. */
  async names({ a, gateway }) {
    const declared = readFileSync(new URL("../../suite/jsapi/grtc.d.ts", import.meta.url), "utf8");
    const part = (from, to) => declared.slice(declared.indexOf(from), declared.indexOf(to, declared.indexOf(from)));
    const members = (text) => [...text.matchAll(/^ {6}(?:readonly )?(\w+)[(:]/gm)].map(([, name]) => name).filter((name) => name !== "constructor");
    const wanted = {
      Grtc: [...part("namespace Grtc", "interface OldConstraints").matchAll(/(?:const|function) (\w+)/g)].map(([, name]) => name)
        .concat(["Client", "MediaSession", "Error", "Logger", "VideoConstraints"]),
      client: members(part("    class Client {", "    class MediaSession")),
      session: members(part("    class MediaSession {", "\n    }\n")),
    };
    const missing = await a.evaluate(([names, url]) => {
      const client = new Grtc.Client({ webrtc_gateway: url });
      const there = { Grtc, client, session: new Grtc.MediaSession(client) };
      return Object.entries(names).flatMap(([owner, list]) => list.filter((name) => !(name in there[owner])).map((name) => `${owner}.${name}`));
    }, [wanted, gateway.url]);
    return { counts: Object.values(wanted).map((list) => list.length), missing };
  },

  /** Our lists of functions and jQuery's do the same, whatever is done to them. */
  async callbacks({ a, gateway }) {
    return a.evaluate((url) => {
      const kind = new Grtc.Client({ webrtc_gateway: url }).onConnect.constructor;
      let seed = 1;
      const random = (below) => { seed = (seed * 48271) % 2147483647; return seed % below; };
      const play = (list, script) => {
        const seen = [];
        let acts = 6;
        const functions = Array.from({ length: 5 }, (_, index) => function called(...values) {
          seen.push([index, this === list, ...values]);
          const act = script.inside[index];
          if (act && acts-- > 0) {
            step(act);
          }
          return script.answers[index];
        });
        const step = ([name, index]) => {
          const argument = name === "add" || name === "remove" || name === "has" ? [functions[index]] : name === "fire" ? [index] : [];
          const answer = list[name](...argument);
          seen.push([name, answer === list ? "itself" : answer]);
        };
        script.steps.forEach(step);
        return JSON.stringify(seen);
      };
      const names = ["add", "add", "add", "remove", "fire", "fire", "fire", "has", "empty", "disable", "lock", "disabled", "locked", "fired"];
      const step = () => [names[random(names.length)], random(5)];
      const inner = () => (random(3) === 0 ? [["add", "remove", "fire", "empty"][random(4)], random(5)] : null);
      for (let round = 0; round < 3000; round += 1) {
        const script = {
          steps: [["add", 0], ["add", 1], ...Array.from({ length: 8 }, step)], inside: Array.from({ length: 5 }, inner),
          answers: Array.from({ length: 5 }, () => [undefined, false, true, 0][random(4)]),
        };
        const [ours, theirs] = [play(new kind(), script), play($.Callbacks("unique stopOnFalse"), script)];
        if (ours !== theirs) {
          return { script, ours, theirs };
        }
      }
      return "the same";
    }, gateway.url);
  },
};

// As an application of the time does it; runs in a page.
async function register(user) {
  globalThis.fired = [];
  globalThis.names = () => fired.map(([name]) => name);
  globalThis.remote = null;
  globalThis.onRing = ({ event }) => session.acceptCall(true, false, null, event === "never");
  globalThis.client = new Grtc.Client({ webrtc_gateway: globalThis.gatewayUrl ?? location.origin });
  globalThis.session = new Grtc.MediaSession(client);
  for (const [owner, list] of [[client, Object.keys(client).filter((name) => /^on[A-Z]/.test(name) && name !== "onHold")], [session, ["onRemoteStream", "onSessionHold"]]]) {
    list.forEach((name) => owner[name].add((value) => { fired.push([name, value]); }));
  }
  client.onIncomingCall.add((event) => onRing(event));
  session.onRemoteStream.add(({ stream }) => { remote = stream; });
  client.enableMediaSource(true, false);
  await until(() => client.localStream !== null);
  client.register(user);
  await until(() => client.registeredSSID !== -1);
}

async function played(browser, scenario) {
  const gateway = await new FakeGateway().listen();
  const context = await browser.newContext();
  const complaints = [];
  try {
    const [a, b] = [await classicPage(context, gateway, complaints), await classicPage(context, gateway, complaints)];
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
