// The least application of the historic interface: globals and callbacks, nothing else.

const phone = globalThis.phone = { client: null, session: null, events: [] };

const note = (name) => (value) => { phone.events.push({ name, value: JSON.parse(JSON.stringify(value ?? null)) }); };

phone.load = (gateway) => new Promise((resolve, reject) => {
  const script = document.createElement("script");
  [script.src, script.onload, script.onerror] = [`${gateway}/jsapi/grtc.js`, resolve, reject];
  document.head.append(script);
}).then(() => true);

phone.register = ({ gateway, dn }) => {
  const { Client, MediaSession } = globalThis.Grtc;
  const client = phone.client = new Client({ webrtc_gateway: gateway });
  for (const name of ["onRegister", "onFailed", "onIncomingCall", "onPeerClosing", "onInfoFromPeer", "onWebrtcError"]) {
    client[name].add(note(name));
  }
  client.onMediaSuccess.add(() => client.register(dn));
  phone.session = new MediaSession(client);
  client.enableMediaSource(true, true);
};

/** Takes the first event of that name; null where none has come in time. */
phone.next = async ({ name, seconds }) => {
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000) {
    const index = phone.events.findIndex((event) => event.name === name);
    if (index >= 0) {
      return phone.events.splice(0, index + 1).at(-1);
    }
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return null;
};
