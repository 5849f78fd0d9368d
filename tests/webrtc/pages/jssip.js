// JsSIP as a telephone in a page: SIP over a WebSocket of the suite, no module of ours.

const phone = globalThis.phone = { ua: null, session: null, events: [] };

function follow(session) {
  phone.session = session;
  for (const type of ["accepted", "confirmed", "failed", "ended", "hold", "unhold", "newDTMF"]) {
    session.on(type, ({ originator, cause, message } = {}) => {
      phone.events.push({ type, originator, cause, status: message?.status_code ?? null });
    });
  }
}

const media = () => navigator.mediaDevices.getUserMedia({ audio: true });

phone.register = ({ url, dn, password }) => new Promise((resolve, reject) => {
  const { UA, WebSocketInterface } = globalThis.jssip;
  const { hostname } = new URL(url);
  const sockets = [new WebSocketInterface(url)];
  phone.ua = new UA({ sockets, uri: `sip:${dn}@${hostname}`, password, register_expires: 120 });
  phone.ua.on("registered", resolve);
  phone.ua.on("registrationFailed", ({ cause }) => reject(new Error(cause)));
  phone.ua.on("newRTCSession", ({ session }) => follow(session));
  phone.ua.start();
}).then(() => true);

phone.dial = async ({ to }) => {
  phone.ua.call(`sip:${to}@${phone.ua.configuration.uri.host}`, { mediaStream: await media() });
};

phone.answer = async () => phone.session.answer({ mediaStream: await media() });

phone.next = async ({ type, seconds }) => {
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000) {
    const index = phone.events.findIndex((event) => event.type === type);
    if (index >= 0) {
      return phone.events.splice(0, index + 1).at(-1);
    }
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return null;
};

phone.rings = async ({ seconds }) => {
  const begun = performance.now();
  while (phone.session === null && performance.now() - begun < seconds * 1000) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return phone.session !== null;
};
