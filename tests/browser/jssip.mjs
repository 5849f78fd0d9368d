// JsSIP as a phone in a page of ours: registers, asks for OPTIONS, is called, calls, and is closed.
// node jssip.mjs URL '{"dn": DN, "password": TEXT, "number": DN}'

import { bundled } from "./commonjs.mjs";
import { withPage } from "./chromium.mjs";

const [url, wishes = "{}"] = process.argv.slice(2);

await withPage(url, {}, async (page) => {
  await page.evaluate(bundled("jssip"));
  return page.evaluate(use, JSON.parse(wishes));
});

async function use({ dn, password, number }) {
  const { UA, WebSocketInterface } = globalThis.jssip;
  const host = location.hostname;
  const phone = new UA({
    sockets: [new WebSocketInterface(`wss://${location.host}/sip`)],
    uri: `sip:${dn}@${host}`,
    password,
    register_expires: 120,
  });
  const within = (seconds, what, start) => new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`not ${what} after ${seconds} s`)), seconds * 1000);
    start(resolve);
  });
  const called = within(15, "called", (resolve) => phone.on("newRTCSession", ({ originator, session, request }) => {
    if (originator === "remote") {
      session.on("failed", () => resolve({ from: request.from.uri.user, body: request.body }));
      session.terminate({ status_code: 486, reason_phrase: "Busy Here" });
    }
  }));
  const registered = await within(10, "registered", (resolve) => {
    phone.on("registered", ({ response }) => resolve(response.status_code));
    phone.on("registrationFailed", ({ cause }) => resolve(cause));
    phone.start();
  });
  const options = await within(10, "answered", (resolve) => phone.sendOptions(`sip:${host}`, null, {
    eventHandlers: {
      succeeded: ({ response }) => resolve(response.status_code),
      failed: ({ response, cause }) => resolve(response?.status_code ?? cause),
    },
  }));
  const invited = await called;
  // Pages of ours have no microphone.
  const mediaStream = new AudioContext().createMediaStreamDestination().stream;
  const call = await within(15, "answered", (resolve) => phone.call(`sip:${number}@${host}`, {
    mediaStream,
    eventHandlers: {
      confirmed: () => resolve("confirmed"),
      failed: ({ message, cause }) => resolve(message?.status_code ?? cause),
    },
  }));
  return { registered, options, invited, call };
}
