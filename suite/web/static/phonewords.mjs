// What the phone's page says: pure functions from states and errors to words, and to what a person can do.

/** Seconds as a clock: 0:07, 12:00, 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** How the place at the gateway is. */
export function newsWords(state, name, canBeCalled = true) {
  return {
    "signed-out": "Signed out.",
    "signing-in": "Signing in…",
    "signed-in": canBeCalled
      ? `Signed in as ${name}. Calls to you ring here.`
      : `Signed in as ${name}. You can call; nobody can call you, as this is no number of the gateway's.`,
    reconnecting: "The gateway cannot be reached. Trying again…",
  }[state] ?? state;
}

const SIGN_IN = {
  400: "The gateway does not take this name. A DN is digits or a name without spaces.",
  401: "The gateway did not take the DN or its password. Check both.",
  403: "The gateway refused the sign-in. Either the DN or its password is wrong (after many tries even the right one waits a while), or this page's address is not in the gateway's domain-whitelist; its log says which.",
  404: "There is no gateway at this address: it answers, but knows no sign-in. Check address and port.",
  503: "The gateway takes nobody right now: it is full, or every other session of this DN is in a call. Try again in a moment.",
};

/** Why a sign-in failed, and what to do. */
export function signInWords({ status, message }, gateway) {
  if (status === undefined || status === 0) {
    return `Nothing answered at ${gateway}. Check the address; if it is another host over https, open ${gateway}/ping `
      + "in a tab of its own once and see whether its certificate is trusted.";
  }
  return SIGN_IN[status] ?? message;
}

const MEDIA = {
  NotAllowedError: "The browser was told not to let this page use the microphone or camera. Press the lock or the camera sign beside the address and allow it, then try again.",
  NotFoundError: "No such device was found. Plug in a microphone (for video a camera too), then try again.",
  NotReadableError: "The device is there, but something else uses it. Close other programs that make calls, then try again.",
  OverconstrainedError: "The device cannot do what was asked for. Choose another one.",
  NotSupportedError: "Browsers lend microphone and camera only to pages over https, or on localhost. Open this page over https.",
  SecurityError: "The browser's settings forbid this page the microphone and camera.",
  AbortError: "The device failed when it was opened. Unplug it and plug it in again.",
};

/** Why microphone or camera cannot be used, and what to do. */
export function mediaWords({ name, message }) {
  return MEDIA[name] ?? `Microphone or camera cannot be used: ${message}`;
}

/** What a call does now. */
export function callWords({ ended, answeredAt, outgoing, held, heldByPeer }, path) {
  if (ended !== null) {
    return "Ended.";
  }
  if (answeredAt === null) {
    return outgoing ? "Calling…" : "Answering…";
  }
  const lost = { interrupted: "The connection is interrupted…", failed: "The connection is lost. Looking for another path…" }[path];
  if (lost !== undefined) {
    return lost;
  }
  if (held && heldByPeer) {
    return "Held by both of you.";
  }
  return held ? "You hold the call." : heldByPeer ? "The other side holds the call." : path === "connected" ? "Connected." : "Answered, connecting media…";
}

const ENDINGS = {
  local: "You hung up.",
  peer: "The other side hung up.",
  rejected: "You rejected the call.",
  "no-answer": "Nobody answered.",
  lost: "The connection was lost for too long. Check your network, then call again.",
  gone: "The gateway does not know this session any more; it may have been started anew. You are being signed in again.",
};

/** Why a call has ended, and what to do if that was no wish of anybody. */
export function endWords({ cause, error }, who) {
  if (cause === "refused") {
    return refusalWords(error, who);
  }
  if (cause === "failed") {
    return `The call to ${who} failed: ${error?.message ?? "nobody said why."}`;
  }
  return ENDINGS[cause] ?? cause;
}

const REFUSALS = [
  [/\b488\b|\b415\b|\b606\b/, (who) => `${who} has no codec in common with this browser (488). The SIP Server or the gateway must offer one that both know; the codecs options say which.`],
  [/\b404\b|\b410\b|\b604\b/, (who) => `There is no ${who} (404). Check the number.`],
  [/\b403\b|\b603\b/, (who) => `You may not call ${who} (403). Anon can call only what the gateway allows; sign in with a DN.`],
  [/\b480\b/, (who) => `${who} is not signed in anywhere (480).`],
  [/\b48[67]\b|\b600\b/, (who) => `${who} is busy.`],
  [/\b408\b|\b50[0-9]\b/, () => "The SIP Server does not answer. If it was just switched over, call again."],
];

function refusalWords(error, who) {
  const text = `${error?.reason ?? ""} ${error?.errorType ?? ""}`;
  const found = REFUSALS.find(([pattern]) => pattern.test(text));
  if (found !== undefined) {
    return found[1](who);
  }
  return error === null || error === undefined
    ? `${who} did not take the call: busy, rejected, or no such number.`
    : `The call to ${who} was refused. ${error.message}${error.reason ? ` (${error.reason})` : ""}`;
}

/** What a change of the call that did not succeed says. */
export function troubleWords(what, error) {
  return error.name in MEDIA ? mediaWords(error) : `${what}: ${error.message}`;
}

const number = (value, unit = "") => (typeof value === "number" ? `${Math.round(value * 10) / 10}${unit}` : value ?? "–");

/** Rows of the statistics' table: [name, browser's value, gateway's value]. */
export function numberRows(browser, gateway) {
  const rows = [];
  for (const kind of ["audio", "video"]) {
    const [ours, theirs] = [browser?.[kind], gateway?.[kind]];
    if (!ours && !theirs) {
      continue;
    }
    const name = kind === "audio" ? "Sound" : "Video";
    rows.push(
      [`${name}: codec`, number(ours?.codec), "–"],
      [`${name}: round trip`, number(ours?.rtt, " ms"), number(theirs?.rtt, " ms")],
      [`${name}: packets received`, number(ours?.rx?.packets), number(theirs?.rx?.packets)],
      [`${name}: packets sent`, number(ours?.tx?.packets), number(theirs?.tx?.packets)],
      [`${name}: packets lost`, number(ours?.rx?.lost), number(theirs?.rx?.lost)],
      [`${name}: jitter`, number(ours?.rx?.jitter, " ms"), number(theirs?.rx?.jitter, " ms")],
    );
  }
  return rows;
}

const TYPES = { host: "directly", srflx: "through NAT", prflx: "through NAT", relay: "through the relay" };

/** Which way media go. */
export function pathWords(path) {
  if (!path) {
    return "Media have no path yet.";
  }
  const way = path.local === "relay" || path.remote === "relay" ? TYPES.relay : TYPES[path.local] ?? path.local;
  return `Media go ${way} over ${String(path.protocol).toUpperCase()}, encrypted${path.srtp ? ` with ${path.srtp}` : ""}.`;
}
