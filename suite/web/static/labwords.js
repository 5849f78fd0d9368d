// What the lab's page says: pure functions from the live picture to words.

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** Seconds as people say them. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) {
    return `${whole} s`;
  }
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How a server is, as the cards are coloured: works, warning or fails. */
export function fare(state) {
  if (state === "up") {
    return "works";
  }
  return state.startsWith("slow") ? "warning" : "fails";
}

export const MARKS = { works: "✓", warning: "!", fails: "✕" };

const STATES = {
  up: "Up: answers.",
  killed: "Killed: its port is closed.",
  frozen: "Frozen: answers nothing.",
  503: "Refuses everything with 503.",
  reset: "Resets its connections.",
};

/** A sentence about a server's state. */
export function stateWords(state) {
  if (state.startsWith("slow ")) {
    return `Slow: answers ${state.slice(5)} late.`;
  }
  return STATES[state] ?? state;
}

export const isOver = (call) => call.state.startsWith("ended");

/** The page's first line. */
export function news({ lab }) {
  const used = lab.servers.find((server) => server.active);
  const ill = lab.servers.filter((server) => server.state !== "up").map((server) => `${server.name} is ${server.state}`);
  const calls = lab.calls.filter((call) => !isOver(call)).length;
  const parts = [used ? `SIP Server ${used.name} is in use` : "No SIP Server is in use yet", ...ill];
  if (!lab.dns.on) {
    parts.push("the name server is silent");
  }
  const dns = new Set(lab.registrations.map((one) => one.dn)).size;
  return `${parts.join(", ")}. ${count(dns, "DN")} registered, ${calls === 0 ? "no call" : count(calls, "call")} up.`;
}

/** The B2BUA's own view, as a sentence. */
export function gatewayWords(gateway) {
  if (gateway === null) {
    return "The B2BUA is not running.";
  }
  const used = gateway.active === "" ? "It uses no server" : `It uses ${gateway.active}`;
  const calls = Math.max(gateway.call_count, gateway.calls.length);
  return `${used} (${gateway.state}, generation ${gateway.generation}); ${count(gateway.registered, "DN")} registered, ${count(calls, "call")}.`;
}

/** The state of a call as the B2BUA sees it. */
export function heldWords({ state, held_by }) {
  if (held_by === "") {
    return state;
  }
  return state === "held" ? `held by ${held_by}` : `${state}, held by ${held_by}`;
}

/** Which DNs the B2BUA has registered; "" if none. */
export function dnsWords(gateway) {
  if (gateway === null || gateway.dns.length === 0) {
    return "";
  }
  const more = gateway.registered - gateway.dns.length;
  return `DNs: ${gateway.dns.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** The commands that a call takes in its state, as [word, label]. */
export function callKeys(call) {
  if (!call.third_party || isOver(call)) {
    return [];
  }
  const held = call.state.startsWith("held");
  const ringing = call.state.startsWith("ringing");
  const keys = held ? [["retrieve", "Retrieve"]] : [["hold", "Hold"]];
  return [...(ringing ? [["talk", "Talk"]] : keys), ["hangup", "Hang up"]];
}

/** Which drawing to show: the chosen one while it is kept, else the newest call's. */
export function chosenLadder(ladders, choice) {
  const kept = ladders.find((one) => one.name === choice);
  const calls = ladders.filter((one) => one.name !== "others");
  return kept ?? calls[calls.length - 1] ?? ladders[0] ?? null;
}
