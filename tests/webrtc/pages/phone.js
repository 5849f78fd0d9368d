// The least application: a page of another host that loads the gateway's module and uses it.
// What the module tells is kept in `phone.events`, one after the other.

const phone = globalThis.phone = { client: null, call: null, events: [] };
const OF_CLIENT = ["state", "incoming", "trouble", "gone"];
const OF_CALL = ["state", "step", "remote", "hold", "connection", "data", "asked", "refused", "trouble", "ended"];
const TOLD = ["state", "event", "local", "remote", "what", "cause", "fields", "text"];

function note(from, type, detail) {
  const told = Object.fromEntries(TOLD.filter((name) => name in detail).map((name) => [name, detail[name]]));
  const words = detail.error ? { error: detail.error.name, says: detail.error.message } : {};
  phone.events.push({ from, type, ...told, ...words });
}

function follow(call) {
  phone.call = call;
  OF_CALL.forEach((type) => call.on(type, ({ detail }) => note("call", type, detail)));
}

phone.signIn = async ({ gateway, dn, password, ...options }) => {
  const { Client } = await import(`${gateway}/jsapi/grtc.mjs`);
  const client = phone.client = new Client({ gateway, ...options });
  OF_CLIENT.forEach((type) => client.on(type, ({ detail }) => note("client", type, detail)));
  client.on("incoming", ({ detail }) => follow(detail.call));
  return client.signIn(dn, password ?? undefined);
};

phone.dial = async ({ to, media, data }) => {
  follow(await phone.client.dial(to, media, { data }));
};

phone.answer = (media) => phone.client.accept(media);

/** Takes the first event that is of `type` and has these values; null where none has come in time. */
phone.next = async ({ from, type, having, seconds }) => {
  const begun = performance.now();
  const fits = (event) => event.from === from && event.type === type
    && Object.entries(having).every(([name, value]) => event[name] === value);
  for (;;) {
    const index = phone.events.findIndex(fits);
    if (index >= 0) {
      return phone.events.splice(0, index + 1).at(-1);
    }
    if (performance.now() - begun > seconds * 1000) {
      return null;
    }
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
};

/** Waits until the call is answered; tells what came instead. */
phone.answered = async ({ seconds }) => {
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000 && !phone.call.established && phone.call.ended === null) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return { ok: phone.call.established, ended: phone.call.ended };
};
