// Written by packaging/jsapi.mjs out of suite/jsapi/source: change it there.

(() => {
"use strict";

// What goes wrong, as a word for programs and a sentence for people.

/** The words; their values are what existing applications compare `name` with. */
const CONFIGURATION_ERROR = "CONFIGURATION_ERROR";
const CONNECTION_ERROR = "CONNECTION_ERROR";
const WEBRTC_NOT_SUPPORTED_ERROR = "WEBRTC_NOT_SUPPORTED_ERROR";
const WEBRTC_ERROR = "WEBRTC_ERROR";
const INVALID_STATE_ERROR = "INVALID_STATE_ERROR";
const NOT_READY_ERROR = "NOT_READY_ERROR";
const GRTC_ERROR = "ERROR";
const GRTC_WARN = "WARNING";

/** An error of this library: `name` is one of the words above, `status` an HTTP status where there was one. */
class GrtcError extends Error {
  constructor(type, message, details = {}) {
    super(message);
    this.name = type;
    Object.assign(this, details);
  }
}

/** What the far end's refusals (ROAP's errorType) mean. */
const ERROR_WORDS = {
  NOMATCH: "The gateway does not know this call any more.",
  TIMEOUT: "Nobody answered in time.",
  REFUSED: "The other side refuses the call or the change.",
  CONFLICT: "Both sides changed the call at the same moment.",
  DOUBLECONFLICT: "Both sides changed the call at the same moment.",
  FAILED: "The other side cannot use what was offered: no common codec, or no such number.",
};

// The events of the module: an EventTarget whose events carry a `detail`.

/** What clients and calls are: `on` is addEventListener that gives the way back. */
class Emitter extends EventTarget {
  /** Listen; the function returned ends it. The listener gets the event, its news in `event.detail`. */
  on(type, listener, options) {
    this.addEventListener(type, listener, options);
    return () => this.removeEventListener(type, listener, options);
  }

  /** Tell everybody; false if somebody called `preventDefault` on a cancelable event. */
  emit(type, detail = {}, { cancelable = false } = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, cancelable }));
  }
}

// Key-value text, as it stands in INFO messages: a=1&b=2.

/** Take a query apart without decoding anything: on every "&", then on the first "=". */
function deparam(query) {
  const fields = {};
  for (const part of String(query ?? "").split("&").filter((each) => each !== "")) {
    const at = part.indexOf("=");
    const [key, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    Object.defineProperty(fields, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return fields;
}

/** Take a query apart and decode it; a part that is no valid encoding stays as it is. */
function decodeQuery(query) {
  const decoded = {};
  for (const [key, value] of Object.entries(deparam(query))) {
    Object.defineProperty(decoded, decodePart(key), { value: decodePart(value), writable: true, enumerable: true, configurable: true });
  }
  return decoded;
}

function decodePart(text) {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

/** Write an object as a query; a list becomes `key[]=`, an inner object `key[inner]=`. */
function param(fields) {
  const parts = [];
  const add = (key, value) => {
    if (Array.isArray(value)) {
      value.forEach((each, index) => add(`${key}[${typeof each === "object" && each ? index : ""}]`, each));
    } else if (typeof value === "object" && value !== null) {
      Object.entries(value).forEach(([inner, each]) => add(`${key}[${inner}]`, each));
    } else {
      parts.push(`${encodePart(key)}=${encodePart(value ?? "")}`);
    }
  };
  Object.entries(fields).forEach(([key, value]) => add(key, value));
  return parts.join("&");
}

function encodePart(value) {
  return encodeURIComponent(String(value)).replaceAll("%20", "+");
}

// The texts that client and gateway send each other (ROAP, draft-jennings-rtcweb-signaling-01, and words beside it).

const WORDS = { BYE: "bye", INVITE: "invite", "EVENT-TALK": "talk", "EVENT-HOLD": "hold" };
const TYPES = { OFFER: "offer", ANSWER: "answer", OK: "ok", ERROR: "error" };
const MOST_TIEBREAKER = 429496723;

/**
 * Read what the gateway sent: `{kind}` with `message` (ROAP), `data` (text of INFO-PEER) or `value` (PUT-STATS).
 * `kind` is "unknown" for what nobody can use; nothing that a peer sends makes this throw.
 */
function parseText(text) {
  const word = text.trim();
  if (Object.hasOwn(WORDS, word)) {
    return { kind: WORDS[word] };
  }
  if (text.startsWith("INFO-PEER")) {
    return { kind: "info", data: text.slice("INFO-PEER".length).trim() };
  }
  if (text.startsWith("PUT-STATS")) {
    const value = parseJson(text.slice("PUT-STATS".length));
    return isObject(value) ? { kind: "stats", value } : { kind: "unknown" };
  }
  return parseRoap(text);
}

function parseRoap(text) {
  const from = text.indexOf("{");
  const message = from < 0 ? null : parseJson(text.slice(from));
  if (!isObject(message)) {
    return { kind: "unknown" };
  }
  const type = message.messageType ?? (message.errorType === undefined ? "" : "ERROR");
  const kind = Object.hasOwn(TYPES, type) ? TYPES[type] : "unknown";
  const described = kind !== "offer" && kind !== "answer" || typeof message.sdp === "string";
  return described ? { kind, message } : { kind: "unknown" };
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Write a ROAP message for the gateway. */
function roapText(message) {
  return `RSMP ${JSON.stringify(message)}`;
}

/**
 * An OFFER; `answererSessionId` is null as long as the other side has not named itself. The tie-breaker is there under
 * the old clients' name and under the draft's, by which a gateway knows that crossing offers are settled here.
 */
function offerMessage({ sdp, candidates, own, other, seq, tiebreaker, data }) {
  const message = {
    messageType: "OFFER", sdp, Candidates: candidates, offererSessionId: own, answererSessionId: other ?? null, seq,
    tiebreaker, tieBreaker: tiebreaker,
  };
  return data?.length ? { ...message, attacheddata: data } : message;
}

/** The ANSWER to an offer. */
function answerMessage(offer, { sdp, candidates, own }) {
  const { offererSessionId, seq } = offer;
  return { messageType: "ANSWER", sdp, Candidates: candidates, offererSessionId, answererSessionId: own, seq };
}

/** The OK to an answer. */
function okMessage({ offererSessionId, answererSessionId, seq }) {
  return { messageType: "OK", offererSessionId, answererSessionId, seq };
}

/** The refusal of an offer. */
function errorMessage({ offererSessionId, seq }, own, errorType) {
  return { messageType: "ERROR", offererSessionId, answererSessionId: own, seq, errorType };
}

/** A tie-breaker: the higher one wins when two offers cross. `random` gives 0 to below 1. */
function newTiebreaker(random = Math.random) {
  return 1 + Math.floor(random() * MOST_TIEBREAKER);
}

/** Who wins when our offer and theirs cross: "ours", "theirs", or "none" where both must try again. */
function glareWinner(ours, theirs) {
  const other = Number.isFinite(theirs) ? theirs : 0;
  return ours === other ? "none" : ours > other ? "ours" : "theirs";
}

// The little that must be known of SDP: candidates, directions, bandwidth.

/** Cut a description into its session part and its media sections, each a list of lines. */
function sections(sdp) {
  const parts = [[]];
  for (const line of sdp.split(/\r\n|\n|\r/).filter((each) => each !== "")) {
    if (line.startsWith("m=")) {
      parts.push([]);
    }
    parts.at(-1).push(line);
  }
  return parts;
}

function joined(parts) {
  return parts.flat().map((line) => `${line}\r\n`).join("");
}

function valueOf(section, attribute) {
  return section.find((line) => line.startsWith(`a=${attribute}:`))?.slice(attribute.length + 3) ?? null;
}

/** Take the candidates out of a description: `{sdp, candidates}`. The end is always there: they are complete. */
function withoutCandidates(sdp) {
  const candidates = [];
  const [session, ...media] = sections(sdp);
  const rest = media.map((section, sdpMLineIndex) => section.filter((line) => {
    if (line.startsWith("a=candidate:")) {
      candidates.push({ sdpMLineIndex, sdpMid: valueOf(section, "mid"), candidate: line.slice(2) });
    }
    return !line.startsWith("a=candidate:") && line !== "a=end-of-candidates";
  }));
  return { sdp: joined([session, ...rest]), candidates };
}

/** How many candidates a description has. */
function countCandidates(sdp) {
  return sdp.match(/^a=candidate:/gm)?.length ?? 0;
}

const CANDIDATE = /^candidate:\S+ \d+ \S+ \d+ \S+ \d+ typ [a-z]+( |$)/;

/**
 * The description of a message with its Candidates in it, where a browser cannot take them for those of an earlier
 * description. Entries may begin with "a=", end in a line break, or be empty (the end of candidates); the m-line's
 * index is believed, never its name, which old clients make up. What is no candidate is left out.
 */
function completeSdp(message) {
  const [session, ...media] = sections(message.sdp);
  for (const each of Array.isArray(message.Candidates) ? message.Candidates : []) {
    const line = String(each?.candidate ?? "").trim().replace(/^a=/, "");
    const section = media[lineOf(each ?? {}, media)];
    if (section !== undefined && CANDIDATE.test(line) && !section.includes(`a=${line}`)) {
      section.push(`a=${line}`);
    }
  }
  return joined([session, ...media]);
}

function lineOf(candidate, media) {
  if (Number.isInteger(candidate.sdpMLineIndex)) {
    return candidate.sdpMLineIndex;
  }
  return Math.max(0, media.findIndex((section) => valueOf(section, "mid") === String(candidate.sdpMid)));
}

/** Whether a candidate's address is of IPv6. */
function isIpv6({ candidate }) {
  return (candidate.split(" ")[4] ?? "").includes(":");
}

/** Drop IPv6 candidates, unless there are no others. */
function preferIpv4(candidates) {
  const rest = candidates.filter((each) => !isIpv6(each));
  return rest.length > 0 ? rest : candidates;
}

/** Ask for at most so many kbit/s of video (b=AS). */
function withVideoBandwidth(sdp, kbps) {
  const [session, ...media] = sections(sdp);
  const limited = media.map((section) => {
    if (!section[0].startsWith("m=video")) {
      return section;
    }
    const lines = section.filter((line) => !line.startsWith("b=AS:"));
    const after = lines.findLastIndex((line) => /^[mic]=/.test(line));
    return [...lines.slice(0, after + 1), `b=AS:${kbps}`, ...lines.slice(after + 1)];
  });
  return joined([session, ...limited]);
}

/** What each m-line is: `{kind, mid, direction}`, direction "none" for one that is refused. */
function mediaLines(sdp) {
  const [session, ...media] = sections(sdp);
  const common = directionOf(session) ?? "sendrecv";
  return media.map((section) => {
    const [kind, port] = section[0].slice(2).split(" ");
    const refused = port === "0" && !section.includes("a=bundle-only");
    return { kind, mid: valueOf(section, "mid"), direction: refused ? "none" : directionOf(section) ?? common };
  });
}

function directionOf(section) {
  return section.find((line) => /^a=(sendrecv|sendonly|recvonly|inactive)$/.test(line))?.slice(2) ?? null;
}

// What the browser counts, in the shape of the gateway's own statistics.

/**
 * Sum up an RTCStatsReport: `{timestamp, path, audio, video}`, each kind `{codec, rtt, rx, tx}` with times in ms,
 * null for a kind that is not there.
 */
function summary(report) {
  const all = [...report.values()];
  return { timestamp: Date.now(), path: path(all, report), audio: ofKind(all, report, "audio"), video: ofKind(all, report, "video") };
}

function ofKind(all, report, kind) {
  const find = (type) => all.find((each) => each.type === type && each.kind === kind);
  const [received, sent, seen] = [find("inbound-rtp"), find("outbound-rtp"), find("remote-inbound-rtp")];
  if (received === undefined && sent === undefined) {
    return null;
  }
  return {
    codec: report.get((received ?? sent).codecId)?.mimeType?.split("/")[1] ?? null,
    rtt: milliseconds(seen?.roundTripTime),
    rx: {
      packets: received?.packetsReceived ?? 0, bytes: received?.bytesReceived ?? 0,
      lost: received?.packetsLost ?? 0, jitter: milliseconds(received?.jitter),
    },
    tx: {
      packets: sent?.packetsSent ?? 0, bytes: sent?.bytesSent ?? 0,
      lost: seen?.packetsLost ?? null, jitter: milliseconds(seen?.jitter),
    },
  };
}

function milliseconds(seconds) {
  return seconds === undefined ? null : Math.round(seconds * 1000);
}

function path(all, report) {
  const transport = all.find((each) => each.type === "transport");
  const pair = report.get(transport?.selectedCandidatePairId)
    ?? all.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded");
  if (pair === undefined) {
    return null;
  }
  const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
  return {
    local: local?.candidateType ?? null, remote: remote?.candidateType ?? null,
    protocol: local?.relayProtocol ?? local?.protocol ?? null, rtt: milliseconds(pair.currentRoundTripTime),
    srtp: transport?.srtpCipher ?? null,
  };
}

// Microphone, camera and screen; the old and the new way to say which.

const OLD_NAMES = {
  googEchoCancellation: "echoCancellation", googAutoGainControl: "autoGainControl", googNoiseSuppression: "noiseSuppression",
  sourceId: "deviceId", chromeMediaSourceId: "deviceId", minFrameRate: "frameRate", maxFrameRate: "frameRate",
  minWidth: "width", maxWidth: "width", minHeight: "height", maxHeight: "height", minAspectRatio: "aspectRatio", maxAspectRatio: "aspectRatio",
};

const KNOWN = new Set(["width", "height", "frameRate", "aspectRatio", "deviceId", "facingMode", "echoCancellation",
  "autoGainControl", "noiseSuppression", "sampleRate", "channelCount"]);

/**
 * Constraints as today's browsers take them, of either form: `{mandatory: {maxWidth: 640}, optional: [...]}` or W3C's.
 * `notice(sentence)` hears what no browser knows any more.
 */
function modernConstraints(constraints, notice = () => {}) {
  if (typeof constraints !== "object" || constraints === null) {
    return Boolean(constraints);
  }
  const { mandatory, optional, ...rest } = constraints;
  if (mandatory === undefined && optional === undefined) {
    return constraints;
  }
  const modern = { ...rest };
  for (const [name, value] of Object.entries(mandatory ?? {})) {
    put(modern, name, value, true, notice);
  }
  for (const [name, value] of (optional ?? []).flatMap(Object.entries)) {
    put(modern, name, value, false, notice);
  }
  return modern;
}

function put(modern, name, value, must, notice) {
  if (name === "chromeMediaSource" || name === "mediaSource") {
    modern.screen = true;
    return;
  }
  const today = OLD_NAMES[name] ?? (KNOWN.has(name) ? name : null);
  if (today === null) {
    notice(`No browser of today knows the constraint ${name}.`);
    return;
  }
  const bound = name.slice(0, 3);
  if (bound === "min" || bound === "max") {
    modern[today] = { ...modern[today], [must ? bound : "ideal"]: value };
  } else {
    modern[today] = must ? { exact: value } : { ideal: value };
  }
}

/** Open microphone and camera. Rejects with the browser's own error, or NotSupportedError where the page may not ask. */
async function openMedia({ audio = false, video = false }, notice) {
  const media = globalThis.navigator?.mediaDevices;
  if (media === undefined) {
    throw new DOMException("Microphone and camera are for pages over https or on localhost only.", "NotSupportedError");
  }
  const [sound, picture] = [modernConstraints(audio, notice), modernConstraints(video, notice)];
  if (!picture.screen) {
    return media.getUserMedia({ audio: sound, video: picture });
  }
  const screen = await media.getDisplayMedia({ video: displayConstraints(picture), audio: false });
  const voice = sound ? (await media.getUserMedia({ audio: sound })).getAudioTracks() : [];
  return new MediaStream([...voice, ...screen.getVideoTracks()]);
}

// getDisplayMedia refuses min and exact.
function displayConstraints({ screen, ...rest }) {
  const allowed = Object.entries(rest).map(([name, value]) => {
    const { min, exact, ...kept } = typeof value === "object" ? value : { ideal: value };
    return [name, kept];
  });
  return allowed.length > 0 ? Object.fromEntries(allowed) : true;
}

/** Stop all tracks of a stream. */
function closeMedia(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}

// The HTTP side: sign in, the hanging poll, messages, sign out.

const GONE = new Set([401, 403, 404, 410]);

/**
 * One place at the gateway. Events: `text` {text, peer} for each message that came, `trouble` {error} when a poll
 * failed, `recovered` when one works again, `gone` {error} when the gateway does not know us any more.
 */
class HttpSession extends Emitter {
  #options;
  #leaving = new AbortController();
  #again = new AbortController();
  #troubled = false;
  #last = Promise.resolve();

  /** `options`: gateway (base URL), pollTimeout, retryDelay (ms), log(level, message, error). */
  constructor(options) {
    super();
    this.#options = options;
    /** The session's id; null when signed out. */
    this.id = null;
    /** Whether calls for this user can ring here; only a gateway that says no is believed. */
    this.rings = true;
  }

  /** Sign in as `user`, with a password or without, and begin to poll. Gives the session's id. */
  async signIn(user, password) {
    const request = password === undefined
      ? this.#request(`/sign_in?${encodeURIComponent(user)}`)
      : this.#request("/sign_in", { method: "POST", body: `${user}:${password}` });
    const response = await request;
    if (response.status !== 200) {
      throw refusal("The gateway refused the sign-in", response);
    }
    const [line, ...more] = (await response.text()).split(/\r?\n/);
    const id = line.slice(line.indexOf("=") + 1).trim();
    if (!line.includes("=") || id === "") {
      throw new GrtcError(CONNECTION_ERROR, "The answer to the sign-in is not a gateway's: it names no session.");
    }
    this.id = id;
    this.rings = !more.includes("rings=no");
    this.#poll(this.#leaving.signal);
    return id;
  }

  /** Send a text once. */
  async send(text, to, { keepalive = false, signal } = {}) {
    if (this.id === null) {
      throw new GrtcError(NOT_READY_ERROR, "Nobody is signed in.");
    }
    const path = `/message?from=${encodeURIComponent(this.id)}&to=${encodeURIComponent(to)}`;
    const response = await this.#request(path, { method: "POST", body: text, keepalive, signal });
    if (!response.ok) {
      throw refusal("The gateway refused a message", response);
    }
  }

  /** Send a text until the gateway has it, however often that takes; `signal` ends the trying. */
  async deliver(text, to, signal) {
    for (;;) {
      try {
        return await this.send(text, to, { signal });
      } catch (error) {
        if (signal.aborted || this.id === null) {
          throw error;
        }
        this.#log("notice", "A message did not reach the gateway and is sent again", error);
      }
      await pause(this.#options.retryDelay, signal);
    }
  }

  /** Leave. With `keepalive` the request outlives the page. Never throws: gone is gone. */
  async signOut({ keepalive = false } = {}) {
    const { id } = this;
    this.#leaving.abort();
    this.id = null;
    if (id === null) {
      return;
    }
    if (!keepalive) {
      await this.#last;
    }
    try {
      await this.#request(`/sign_out?id=${encodeURIComponent(id)}`, { keepalive });
    } catch (error) {
      this.#log("notice", "The sign-out did not reach the gateway", error);
    }
  }

  /** Ask for messages anew, at once: the connection that waits for them may be a dead one. */
  askAgain() {
    this.#again.abort();
  }

  /** Send a text that also a page that is being left gets out, before a sign-out. */
  sendLast(text, to) {
    this.#last = this.send(text, to, { keepalive: true })
      .catch((error) => this.#log("notice", "The last message did not reach the gateway", error));
  }

  async #poll(signal) {
    while (!signal.aborted) {
      try {
        await this.#pollOnce(signal);
        this.#recovered();
      } catch (error) {
        if (signal.aborted || this.#lost(error)) {
          return;
        }
        this.#troubled = true;
        this.emit("trouble", { error });
        await pause(this.#options.retryDelay, signal).catch(() => {});
      }
    }
  }

  async #pollOnce(leaving) {
    const patience = timeoutSignal(this.#options.pollTimeout);
    this.#again = new AbortController();
    const over = AbortSignal.any([patience, this.#again.signal]);
    try {
      const signal = AbortSignal.any([leaving, over]);
      const response = await this.#request(`/wait?id=${encodeURIComponent(this.id)}`, { signal });
      if (response.status !== 200) {
        throw refusal(response.ok ? "The gateway ended the session" : "The gateway refused to be asked", response);
      }
      const text = await response.text();
      this.#log("debug", `Received: ${text}`);
      this.emit("text", { text, peer: response.headers.get("Pragma") });
    } catch (error) {
      if (leaving.aborted || !over.aborted) {
        throw error;
      }
    }
  }

  #recovered() {
    if (this.#troubled) {
      this.#troubled = false;
      this.emit("recovered");
    }
  }

  // A 2xx that is no message ends the session, as does an answer that says we are not known, if someone listens.
  #lost(error) {
    const ended = error.status >= 200 && error.status < 300;
    if (ended || (this.#options.endsWhenUnknown && GONE.has(error.status))) {
      this.#leaving.abort();
      this.id = null;
      this.emit("gone", { error, ended });
      return true;
    }
    return false;
  }

  async #request(path, { method = "GET", body, keepalive = false, signal } = {}) {
    if (body !== undefined && path !== "/sign_in") {
      this.#log("debug", `Sent: ${body}`);
    }
    const options = { method, body, keepalive, signal, credentials: "include", cache: "no-store" };
    try {
      return await fetch(`${this.#options.gateway}${path}`, options);
    } catch (error) {
      if (signal?.aborted) {
        throw error;
      }
      throw new GrtcError(CONNECTION_ERROR, "The gateway cannot be reached, or does not let this page talk to it.", { cause: error });
    }
  }

  #log(level, message, error) {
    this.#options.log(level, message, error);
  }
}

function refusal(what, { status }) {
  return new GrtcError(CONNECTION_ERROR, `${what} (HTTP ${status}).`, { status });
}

/** A signal after so many milliseconds; 0 is never. */
function timeoutSignal(milliseconds) {
  return milliseconds > 0 ? AbortSignal.timeout(milliseconds) : new AbortController().signal;
}

/** Wait; `signal` ends it with its reason. */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) {
      stop();
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}

// The gateway's own ICE servers, which a page has that names none.

// Within this time there is an answer, or calls go on without.
const PATIENCE = 2000;
// Who had no answer asks again with a later call.
const ASK_AGAIN = 60000;

/** What one session is offered: asked for at once, and anew in time, for credentials live some minutes only. */
class OfferedServers {
  #address;
  #log;
  #servers = [];
  #goodUntil = 0;
  #askAt = 0;
  #asked = null;

  /** `id` is the session's; null where nobody has signed in, which serves the gateway's own pages only. */
  constructor({ gateway, id, log }) {
    this.#address = `${gateway}/api/ice-servers${id === null ? "" : `?id=${encodeURIComponent(id)}`}`;
    this.#log = log;
  }

  /** The servers; none where the gateway has none, or does not say so soon. Never throws. */
  async get() {
    if (this.#askAt <= Date.now()) {
      this.#askAt = Infinity;
      this.#asked = this.#ask();
    }
    await this.#asked;
    return this.#goodUntil > Date.now() ? this.#servers : [];
  }

  async #ask() {
    const begun = Date.now();
    try {
      const { iceServers, lifetime } = await this.#answer();
      const usable = iceServers.filter(({ urls, credential }) => !/^turns?:/.test(urls) || credential);
      if (usable.length < iceServers.length) {
        this.#log("notice", "The gateway's relay asks for a name and a password, and gives none: it is not used");
      }
      this.#servers = usable;
      this.#goodUntil = lifetime > 0 ? begun + lifetime * 1000 : Infinity;
      this.#askAt = begun + (lifetime > 0 ? lifetime * 500 : ASK_AGAIN);
    } catch (error) {
      this.#log("notice", "The gateway offers no ICE servers", error);
      // A gateway without this address will not have it later.
      this.#askAt = error.status === 404 ? Infinity : begun + ASK_AGAIN;
    }
  }

  async #answer() {
    const response = await fetch(this.#address, { credentials: "include", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) {
      throw new GrtcError(CONNECTION_ERROR, `There are no ICE servers for this page (HTTP ${response.status}).`, { status: response.status });
    }
    return response.json();
  }
}

// One RTCPeerConnection in unified plan: which media are sent and received, and the descriptions of that.

const KINDS = ["audio", "video"];

/** How candidates, bandwidth and certificates are to be; the client's options in short. */
const CONNECTION_DEFAULTS = { iceTimeout: 1000, ipv6: true, resendCandidates: true, videoBandwidth: 0, filterCandidates: (list) => list };

/** Media towards the gateway. */
class Connection {
  #options;
  #sentCandidates = false;

  /** `configuration` is RTCPeerConnection's. */
  constructor(configuration, options) {
    if (typeof RTCPeerConnection === "undefined") {
      throw new GrtcError(WEBRTC_NOT_SUPPORTED_ERROR, "This browser has no WebRTC.");
    }
    this.#options = { ...CONNECTION_DEFAULTS, ...options };
    this.pc = new RTCPeerConnection(configuration);
    /** What is wished of each kind: `{send, receive, open}`; open is not asked for, but taken if they send it. */
    this.wanted = { audio: { send: false, receive: false, open: true }, video: { send: false, receive: false, open: true } };
    /** The local tracks; one that is not sent stays here. */
    this.tracks = { audio: null, video: null };
    /** The local stream that the tracks belong to, as the far end is told. */
    this.stream = null;
    /** "inactive" or "sendonly" while we hold the call, else null. */
    this.hold = null;
  }

  /** The direction that a kind should have. */
  direction(kind) {
    const send = this.wanted[kind].send && this.tracks[kind] !== null;
    const receive = this.wanted[kind].receive;
    if (this.hold !== null) {
      return this.hold === "sendonly" && send ? "sendonly" : "inactive";
    }
    return send ? (receive ? "sendrecv" : "sendonly") : receive ? "recvonly" : "inactive";
  }

  /** The transceiver that carries a kind: of several, as old clients make them, the one the far end sends on. */
  transceiver(kind) {
    const all = this.#all(kind);
    const lines = this.pc.remoteDescription ? mediaLines(this.pc.remoteDescription.sdp) : [];
    const speaks = ({ mid }) => lines.some((line) => line.mid === mid && line.direction.startsWith("send"));
    return all.find(speaks) ?? all[0] ?? null;
  }

  #all(kind) {
    return this.pc.getTransceivers().filter((each) =>
      each.receiver.track.kind === kind && each.direction !== "stopped" && each.currentDirection !== "stopped");
  }

  /** Bring the transceivers to what is wished. Only an offer may `create` one; senders are used again. */
  async #apply(create) {
    for (const kind of KINDS) {
      const direction = this.direction(kind);
      const main = this.transceiver(kind);
      if (main === null && create && (this.wanted[kind].send || this.wanted[kind].receive)) {
        this.pc.addTransceiver(this.tracks[kind] ?? kind, { direction, streams: this.stream ? [this.stream] : [] });
      } else if (main !== null) {
        await this.#set(main, this.wanted[kind].send ? this.tracks[kind] : null, direction);
        for (const other of this.#all(kind).filter((each) => each !== main)) {
          await this.#set(other, null, direction.endsWith("recv") || direction === "recvonly" ? "recvonly" : "inactive");
        }
      }
    }
  }

  async #set(transceiver, track, direction) {
    if (transceiver.sender.track !== track) {
      await transceiver.sender.replaceTrack(track);
    }
    if (track !== null && this.stream !== null) {
      transceiver.sender.setStreams?.(this.stream);
    }
    if (transceiver.direction !== direction) {
      transceiver.direction = direction;
    }
  }

  /** Make an offer with its candidates: `{sdp, candidates}`. */
  async offer({ iceRestart = false, signal } = {}) {
    await this.#apply(true);
    await this.pc.setLocalDescription(await this.pc.createOffer({ iceRestart }));
    return this.#described(iceRestart, signal);
  }

  /** Take an offer (what its Candidates list has included). */
  async takeOffer(message) {
    await this.pc.setRemoteDescription({ type: "offer", sdp: completeSdp(message) });
  }

  #takeUp() {
    for (const { kind, direction } of mediaLines(this.pc.remoteDescription.sdp)) {
      const wanted = this.wanted[kind];
      if (wanted?.open && direction.startsWith("send")) {
        wanted.receive = true;
      }
    }
  }

  /** Make the answer to the offer that was taken. */
  async answer({ signal } = {}) {
    this.#takeUp();
    await this.#apply(false);
    await this.pc.setLocalDescription(await this.pc.createAnswer());
    return this.#described(false, signal);
  }

  /** Take an answer; one with more to come is provisional. */
  async takeAnswer(message) {
    await this.pc.setRemoteDescription({ type: message.moreComing ? "pranswer" : "answer", sdp: completeSdp(message) });
  }

  /** Undo the offer that is out. */
  async rollback() {
    if (this.pc.signalingState === "have-local-offer") {
      await this.pc.setLocalDescription({ type: "rollback" });
    }
  }

  /** Tracks that are received now, in the order of KINDS. */
  receiving() {
    return KINDS.flatMap((kind) => this.#all(kind))
      .filter(({ currentDirection }) => currentDirection === "sendrecv" || currentDirection === "recvonly")
      .map(({ receiver }) => receiver.track);
  }

  /** Whether the far end holds the call: it lets less through than we wished. */
  heldByPeer() {
    const audio = this.transceiver("audio") ?? this.transceiver("video");
    if (audio === null || this.hold !== null) {
      return false;
    }
    const wished = this.direction(audio.receiver.track.kind);
    return audio.currentDirection === "inactive" ? wished !== "inactive"
      : audio.currentDirection === "recvonly" && wished === "sendrecv";
  }

  close() {
    this.pc.close();
  }

  async #described(restarted, signal) {
    const { iceTimeout, ipv6, resendCandidates, videoBandwidth, filterCandidates } = this.#options;
    await this.#gathered(iceTimeout, signal);
    const { sdp, candidates } = withoutCandidates(this.pc.localDescription.sdp);
    const needed = resendCandidates || restarted || !this.#sentCandidates;
    this.#sentCandidates = true;
    const listed = needed ? filterCandidates(ipv6 ? candidates : preferIpv4(candidates)) : [];
    return { sdp: videoBandwidth > 0 ? withVideoBandwidth(sdp, videoBandwidth) : sdp, candidates: listed };
  }

  // All candidates, or those that came in time; without a single one the wait begins anew.
  #gathered(iceTimeout, signal) {
    const { pc } = this;
    const some = () => countCandidates(pc.localDescription?.sdp ?? "") > 0;
    const done = () => pc.iceGatheringState === "complete" && some();
    if (done()) {
      return Promise.resolve();
    }
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const end = (outcome) => () => {
        clearInterval(timer);
        pc.removeEventListener("icegatheringstatechange", look);
        outcome(signal?.reason);
      };
      const look = () => done() && end(resolve)();
      const timer = setInterval(() => some() && end(resolve)(), iceTimeout);
      pc.addEventListener("icegatheringstatechange", look);
      signal?.addEventListener("abort", end(reject), { once: true });
    });
  }
}

// Offers and answers, one at a time: the ROAP side of a call.

const NEW = "new";
const MAKE_OFFER = "make-offer";
const PREPARING_OFFER = "preparing-offer";
const OFFER_SENT = "offer-sent";
const OFFER_RECEIVED = "offer-received";
const PREPARING_ANSWER = "offer-received-preparing-answer";
const ESTABLISHED = "established";

let sessions = 101;

/**
 * The state of a call's offers. Events: `state` {state}, `step` {event}, `settled` after each offer that was
 * answered, `refused` {error} when the far end refuses one, `broken` {error, first} when theirs cannot be used.
 */
class Negotiation extends Emitter {
  #part;
  #over;
  #turn = Promise.resolve();
  #offers = Promise.resolve();
  #seq = 0;
  #other = null;
  #pending = null;
  #answered = null;
  #steadyWaiters = [];

  /** `part` has connect() for the Connection, deliver(text), data() for what goes with offers; `over` ends it all. */
  constructor(part, over) {
    super();
    this.#part = part;
    this.#over = over;
    this.state = NEW;
    this.sessionId = ++sessions;
    this.connection = null;
    over.addEventListener("abort", () => this.#end(over.reason), { once: true });
  }

  /**
   * Send an offer and wait for its answer. `change(connection)` says what shall be different, and is undone if the
   * other side refuses. Offers wait for each other, and one that crossed another is sent again.
   */
  offer(change = () => {}, options = {}) {
    const done = this.#offers.then(() => this.#offerUntilAnswered(change, options));
    this.#offers = done.catch(() => {});
    return done;
  }

  async #offerUntilAnswered(change, options) {
    for (;;) {
      await this.#steady();
      const [answered] = await this.#exclusive(() => this.#sendOffer(change, options));
      if (answered !== null && await answered) {
        return;
      }
      await pause(200 + Math.random() * 800, this.#over);
    }
  }

  // Gives the promise of the answer inside a list, because a bare one would be awaited before the turn ends.
  async #sendOffer(change, { iceRestart = false }) {
    if (this.state !== NEW && this.state !== ESTABLISHED) {
      return [null];
    }
    const before = this.state;
    this.#enter(MAKE_OFFER);
    const undo = await this.#change(change);
    try {
      this.#enter(PREPARING_OFFER);
      const description = await this.connection.offer({ iceRestart, signal: this.#over });
      this.#over.throwIfAborted();
      return [this.#offerSent(description, before, undo)];
    } catch (error) {
      await this.#takeBack(before, undo);
      throw error;
    }
  }

  async #change(change) {
    await this.#connected();
    const { connection } = this;
    const kept = { wanted: structuredClone(connection.wanted), hold: connection.hold, tracks: { ...connection.tracks } };
    await change(connection);
    return () => Object.assign(connection, kept);
  }

  async #connected() {
    if (this.connection === null) {
      const connection = await this.#part.connect();
      if (this.#over.aborted) {
        connection.close();
        throw this.#over.reason;
      }
      this.connection = connection;
    }
  }

  #offerSent(description, before, undo) {
    this.#seq += 1;
    const [seq, tiebreaker] = [this.#seq, newTiebreaker()];
    this.#enter(OFFER_SENT);
    this.#send(offerMessage({
      ...description, own: this.sessionId, other: this.#other, seq, tiebreaker, data: this.#part.data(),
    }));
    const answered = new Promise((resolve, reject) => {
      this.#pending = { seq, tiebreaker, before, undo, resolve, reject };
    });
    this.emit("step", { event: "offer sent" });
    return answered;
  }

  /** Answer the first offer of a call, or take one into an established call. */
  receiveOffer(message, change = () => {}) {
    return this.#exclusive(() => this.#takeOffer(message, change));
  }

  async #takeOffer(message, change) {
    if (this.#answered !== null && isSame(message, this.#answered)) {
      this.#send(this.#answered.answer);
      return;
    }
    if (this.#pending !== null && !await this.#yields(message)) {
      return;
    }
    this.emit("step", { event: "offer received" });
    const first = this.state === NEW;
    try {
      await this.#answer(message, change);
    } catch (error) {
      this.#over.throwIfAborted();
      this.#send(errorMessage(message, this.sessionId, "FAILED"));
      this.#enter(first ? NEW : ESTABLISHED);
      this.emit("broken", { error, first });
      throw error;
    }
  }

  // Two offers have crossed: the lower tie-breaker gives way.
  async #yields(message) {
    const { tiebreaker, before, resolve } = this.#pending;
    const winner = glareWinner(tiebreaker, message.tiebreaker ?? message.tieBreaker);
    if (winner !== "theirs") {
      this.#send(errorMessage(message, this.sessionId, winner === "ours" ? "CONFLICT" : "DOUBLECONFLICT"));
    }
    if (winner === "ours") {
      return false;
    }
    await this.#takeBack(before);
    resolve(false);
    return winner === "theirs";
  }

  async #answer(message, change) {
    this.#enter(PREPARING_ANSWER);
    this.#note(message.seq, message.offererSessionId);
    await this.#connected();
    await this.connection.takeOffer(message);
    await change(this.connection);
    const description = await this.connection.answer({ signal: this.#over });
    this.#over.throwIfAborted();
    const answer = answerMessage(message, { ...description, own: this.sessionId });
    this.#answered = { offererSessionId: message.offererSessionId, seq: message.seq, sdp: message.sdp, answer };
    this.#send(answer);
    this.emit("step", { event: "answer sent" });
    this.#enter(ESTABLISHED);
    this.emit("settled");
  }

  /** Take the answer to the offer that is out. */
  receiveAnswer(message) {
    return this.#exclusive(() => this.#takeAnswer(message));
  }

  async #takeAnswer(message) {
    const pending = this.#pending;
    if (pending === null || (message.seq ?? pending.seq) !== pending.seq) {
      return;
    }
    this.emit("step", { event: "answer received" });
    this.#note(undefined, message.answererSessionId);
    try {
      await this.connection.takeAnswer(message);
    } catch (error) {
      await this.#takeBack(pending.before, pending.undo);
      pending.reject(error);
      this.emit("broken", { error, first: pending.before === NEW });
      return;
    }
    if (!message.moreComing) {
      this.#pending = null;
      this.#send(okMessage(message));
      this.#enter(ESTABLISHED);
      pending.resolve(true);
    }
    this.emit("settled");
  }

  /** Take the refusal of the offer that is out; one of an offer that is past says nothing. */
  receiveError(message) {
    return this.#exclusive(() => this.#takeError(message));
  }

  async #takeError({ seq, errorType, reason }) {
    const pending = this.#pending;
    if (pending === null || (seq ?? pending.seq) !== pending.seq) {
      return;
    }
    const crossed = errorType === "CONFLICT" || errorType === "DOUBLECONFLICT";
    await this.#takeBack(pending.before, crossed ? undefined : pending.undo);
    if (crossed) {
      pending.resolve(false);
    } else {
      const words = ERROR_WORDS[errorType] ?? `The other side refused: ${errorType}.`;
      const error = new GrtcError(GRTC_ERROR, words, { errorType, reason: typeof reason === "string" ? reason : "" });
      pending.reject(error);
      this.emit("refused", { error, first: pending.before === NEW });
    }
  }

  async #takeBack(state, undo = () => {}) {
    this.#pending = null;
    undo();
    if (!this.#over.aborted) {
      await this.connection?.rollback();
      this.#enter(state);
    }
  }

  #note(seq, other) {
    this.#seq = Number.isInteger(seq) ? Math.max(this.#seq, seq) : this.#seq;
    this.#other = other ?? this.#other;
  }

  #send(message) {
    this.#part.deliver(roapText(message));
  }

  #enter(state) {
    if (this.#over.aborted || this.state === state) {
      return;
    }
    this.state = state;
    this.emit("state", { state });
    if (state === NEW || state === ESTABLISHED) {
      this.#steadyWaiters.splice(0).forEach(({ resolve }) => resolve());
    }
  }

  #steady() {
    return new Promise((resolve, reject) => {
      if (this.#over.aborted) {
        reject(this.#over.reason);
      } else if (this.state === NEW || this.state === ESTABLISHED) {
        resolve();
      } else {
        this.#steadyWaiters.push({ resolve, reject });
      }
    });
  }

  #exclusive(work) {
    const done = this.#turn.then(() => {
      this.#over.throwIfAborted();
      return work();
    });
    this.#turn = done.catch(() => {});
    return done;
  }

  #end(reason) {
    this.connection?.close();
    this.state = NEW;
    this.#pending?.reject(reason);
    this.#pending = null;
    this.#steadyWaiters.splice(0).forEach(({ reject }) => reject(reason));
  }
}

function isSame(message, { offererSessionId, seq, sdp }) {
  return message.offererSessionId === offererSessionId && message.seq === seq && message.sdp === sdp;
}

// One call: hold, media, data, digits, statistics, and how it ends.

const LONGEST_LOSS = 60000;
// Browsers call a path failed some 15 s after the last sign of life; a change of networks needs no such doubt.
const LONGEST_INTERRUPTION = 3000;
const STATISTICS_PATIENCE = 5000;
const TONES = /^[0-9A-D#*,]+$/i;

/**
 * A call as seen from here. Events: `state` {state}, `step` {event}, `remote` {stream}, `hold` {local, remote},
 * `connection` {state}, `data` {fields, text}, `asked` {what} (cancelable), `refused` {error}, `trouble` {error},
 * `ended` {cause, error}.
 */
class Call extends Emitter {
  #line;
  #over = new AbortController();
  #outbox = Promise.resolve();
  #statistics = [];
  #reached = "new";
  #lossTimer;
  #interruptionTimer;
  #refusing = Promise.resolve();
  #answerTimer;

  /** `line` is the client, seen from its call; `offer` is what rings here, "invite" where they want our offer. */
  constructor(line, peer, { offer = null, data = [] } = {}) {
    super();
    this.#line = line;
    this.peer = peer;
    this.outgoing = offer === null;
    /** The offer that rings; "invite" where the other side wants ours; null once accepted. */
    this.offer = offer;
    /** Data that goes with our offers, and what came with theirs: lists of `{key, value}`. */
    this.data = data;
    this.attachedData = attached(offer);
    this.remoteStream = null;
    /** When it was answered, ms since 1970; null before. */
    this.answeredAt = null;
    this.heldByPeer = false;
    /** Why it ended; null while it lives. */
    this.ended = null;
    /** Whether the other side has ended it by BYE. */
    this.hasBye = false;
    this.negotiation = this.#negotiation();
  }

  #negotiation() {
    const part = {
      connect: () => this.#connect(),
      deliver: (text) => this.#deliver(text),
      data: () => this.data,
    };
    const negotiation = new Negotiation(part, this.#over.signal);
    negotiation.on("state", ({ detail }) => this.emit("state", detail));
    negotiation.on("step", ({ detail }) => this.#step(detail));
    negotiation.on("settled", () => this.#settled());
    negotiation.on("refused", ({ detail }) => this.#refused(detail));
    negotiation.on("broken", ({ detail }) => this.#broken(detail));
    return negotiation;
  }

  get state() {
    return this.negotiation.state;
  }

  get connection() {
    return this.negotiation.connection;
  }

  get established() {
    return this.ended === null && this.answeredAt !== null;
  }

  /** Whether it rings here and waits for `accept` or `reject`. */
  get ringing() {
    return this.ended === null && this.offer !== null;
  }

  /** Whether we hold the call. */
  get held() {
    return (this.connection?.hold ?? null) !== null;
  }

  /** Ring the other side; `media` is `{audio, video, stream}`, each kind true, false, "send", "receive" or "accept". */
  start(media) {
    return this.negotiation.offer((connection) => choose(connection, media));
  }

  /** Wait until the call is answered; rejects if it ends before. */
  answered() {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.answeredAt !== null) {
          resolve(this);
        } else if (this.ended !== null) {
          reject(new GrtcError(INVALID_STATE_ERROR, "The call has ended.", { cause: this.ended }));
        }
      };
      this.on("hold", look);
      this.on("ended", look);
      look();
    });
  }

  /** Take the call that rings. */
  async accept(media) {
    const { offer } = this;
    if (offer === null || this.ended !== null) {
      throw new GrtcError(INVALID_STATE_ERROR, "No call rings.");
    }
    this.offer = null;
    const change = (connection) => choose(connection, media);
    await (offer === "invite" ? this.negotiation.offer(change) : this.negotiation.receiveOffer(offer, change));
  }

  /** Refuse the call that rings. */
  reject() {
    this.hangUp("rejected");
  }

  /** End the call; also while the page is being left. */
  hangUp(cause = "local") {
    if (this.ended === null) {
      this.#line.bye(this.peer);
      this.end(cause);
    }
  }

  /** Change what is sent and received, see `start`; what is not named stays. */
  async change(media, { iceRestart = false } = {}) {
    this.#must();
    if (iceRestart) {
      await this.#freshServers();
    }
    await this.negotiation.offer((connection) => choose(connection, media), { iceRestart });
  }

  /** Hold: nothing flows; with "sendonly" the other side still hears us, or our music. */
  hold(how = "inactive") {
    this.#must();
    return this.negotiation.offer((connection) => { connection.hold = how; });
  }

  /** Go on after a hold. */
  resume() {
    this.#must();
    return this.negotiation.offer((connection) => { connection.hold = null; });
  }

  /** Send video too, of a stream that has some. */
  addVideo(stream) {
    return this.change({ video: true, stream });
  }

  /** Send video no more; the other side's stays unless `receive` is false. */
  removeVideo({ receive = true } = {}) {
    this.#must();
    return this.negotiation.offer((connection) => {
      connection.wanted.video = wishOf(receive && connection.wanted.video.receive ? "receive" : "accept");
      connection.tracks.video = null;
    });
  }

  /** Offer again as things are; with `iceRestart` over new paths. */
  update(options) {
    return this.change({}, options);
  }

  /** Silence a kind of our media, or let it through again; no offer is needed. */
  mute(kind, muted = true) {
    const track = this.connection?.tracks[kind] ?? null;
    if (track !== null) {
      track.enabled = !muted;
    }
  }

  /** Whether a kind is sent by us now and not muted. */
  sends(kind) {
    const { connection } = this;
    return connection !== null && connection.wanted[kind].send && connection.tracks[kind]?.enabled === true;
  }

  /** Send another microphone or camera in the place of the one in use; no offer is needed. */
  async replaceTrack(track) {
    const { connection } = this.#must();
    connection.tracks[track.kind] = track;
    await connection.transceiver(track.kind)?.sender.replaceTrack(track);
  }

  /** Send the tracks of a stream of the kinds that are true, and nothing else; no offer is needed. */
  async useTracks(stream, kinds) {
    const { connection } = this.#must();
    for (const kind of KINDS) {
      const track = kinds[kind] ? stream?.getTracks().find((each) => each.kind === kind) ?? null : null;
      connection.tracks[kind] = track;
      await connection.transceiver(kind)?.sender.replaceTrack(track);
    }
  }

  /** Send digits as RFC 4733 events; false if they cannot be sent. Times in ms. */
  sendDigits(tones, { duration = 100, gap = 50 } = {}) {
    const sender = this.connection?.transceiver("audio")?.sender.dtmf ?? null;
    if (!this.established || sender === null || !TONES.test(tones) || sender.canInsertDTMF === false) {
      return false;
    }
    sender.insertDTMF(tones, Math.min(6000, Math.max(70, duration)), Math.max(50, gap));
    return true;
  }

  /** Send fields, or a text, to the other side. */
  sendToPeer(fields) {
    return this.#inform("INFO-PEER", fields);
  }

  /** Send fields to the SIP Server, which attaches them to the call. */
  sendToServer(fields) {
    return this.#inform("INFO-MAP", fields);
  }

  #inform(word, fields) {
    this.#must();
    return this.#line.send(`${word} ${typeof fields === "string" ? fields : param(fields)}`, this.peer);
  }

  /** What the gateway counted. */
  async gatewayStatistics() {
    this.#must();
    const patience = timeoutSignal(STATISTICS_PATIENCE);
    const answer = new Promise((resolve, reject) => {
      this.#statistics.push(resolve);
      patience.addEventListener("abort", () => reject(patience.reason), { once: true });
    });
    answer.catch(() => {});
    await this.#line.send("GET-STATS", this.peer);
    return answer;
  }

  /** What the browser counted, in short. */
  async statistics() {
    const { connection } = this.#must();
    return summary(await connection.pc.getStats());
  }

  /** Take what the gateway sent, already read. */
  receive({ kind, message, data, value }, peer) {
    this.peer = peer ?? this.peer;
    const take = {
      offer: () => this.#offered(message),
      answer: () => this.negotiation.receiveAnswer(message),
      error: () => {
        this.#refusing = this.negotiation.receiveError(message);
        return this.#refusing;
      },
      invite: () => this.#invited(),
      bye: () => this.#leftByPeer(),
      talk: () => this.#asked("talk"),
      hold: () => this.#asked("hold"),
      info: () => this.emit("data", { fields: decodeQuery(data), text: data }),
      stats: () => this.#counted(value),
    }[kind];
    return Promise.resolve(take?.()).catch((error) => this.#trouble(error));
  }

  // An ERROR right before it says why, and takes a moment to be taken in.
  async #leftByPeer() {
    this.hasBye = true;
    await this.#refusing.catch(() => {});
    this.end(this.outgoing && this.answeredAt === null ? "refused" : "peer");
  }

  #counted(value) {
    this.#statistics.splice(0).forEach((resolve) => resolve(value));
    this.emit("statistics", { statistics: value });
  }

  #offered(message) {
    this.attachedData = message.attacheddata === undefined ? this.attachedData : attached(message);
    if (this.ringing) {
      this.offer = message;
      return undefined;
    }
    return this.negotiation.receiveOffer(message);
  }

  #invited() {
    this.emit("step", { event: "invite received" });
    return this.established ? this.update() : undefined;
  }

  // BroadSoft's talk and hold: done unless the application prevents it.
  #asked(what) {
    if (!this.emit("asked", { what }, { cancelable: true })) {
      return undefined;
    }
    if (what === "hold") {
      return this.established && !this.held ? this.hold() : undefined;
    }
    return this.ringing ? this.#line.accept(this) : this.held ? this.resume() : undefined;
  }

  /** It is over, whoever ended it. */
  end(cause, error = null) {
    if (this.ended !== null) {
      return;
    }
    this.ended = cause;
    this.offer = null;
    clearTimeout(this.#answerTimer);
    clearTimeout(this.#lossTimer);
    clearTimeout(this.#interruptionTimer);
    this.#over.abort(error ?? new GrtcError(INVALID_STATE_ERROR, "The call has ended."));
    this.emit("ended", { cause, error });
  }

  async #connect() {
    const connection = await this.#line.connect();
    const look = () => this.#look(connection.pc);
    connection.pc.addEventListener("connectionstatechange", look);
    connection.pc.addEventListener("iceconnectionstatechange", look);
    return connection;
  }

  // A text after the other, each until the gateway has it.
  #deliver(text) {
    const { signal } = this.#over;
    const send = () => (signal.aborted ? undefined : this.#line.deliver(text, this.peer, signal));
    this.#outbox = this.#outbox.then(send).catch((error) => this.#trouble(error));
  }

  #step(detail) {
    if (detail.event === "offer sent" && this.answeredAt === null) {
      const { noAnswerTimeout } = this.#line.options;
      this.#answerTimer = setTimeout(() => this.hangUp("no-answer"), noAnswerTimeout);
    }
    this.emit("step", detail);
  }

  #settled() {
    if (this.state === "established") {
      clearTimeout(this.#answerTimer);
      this.answeredAt ??= Date.now();
    }
    this.#gatherRemote();
    const { held } = this;
    this.heldByPeer = this.connection.heldByPeer();
    this.emit("hold", { local: held, remote: this.heldByPeer });
  }

  // A new stream for new tracks: an element that plays one whose tracks were all taken away stays silent.
  #gatherRemote() {
    const tracks = this.connection.receiving();
    const known = this.remoteStream?.getTracks() ?? [];
    if (tracks.length > 0 && (tracks.length !== known.length || tracks.some((track) => !known.includes(track)))) {
      this.remoteStream = new MediaStream(tracks);
      this.emit("remote", { stream: this.remoteStream });
    }
  }

  #refused({ error, first }) {
    this.emit("refused", { error });
    if (first) {
      this.#line.bye(this.peer);
      this.end("refused", error);
    }
  }

  #broken({ error, first }) {
    this.#trouble(error);
    if (first) {
      this.#line.bye(this.peer);
      this.end("failed", error);
    }
  }

  #trouble(error) {
    if (this.ended === null) {
      this.emit("trouble", { error });
    }
  }

  // Chromium leaves iceConnectionState at "disconnected" and tells only connectionState that all is lost.
  #look({ connectionState, iceConnectionState }) {
    const states = [connectionState, iceConnectionState];
    const now = states.includes("failed") ? "failed"
      : states.includes("disconnected") ? "interrupted"
        : connectionState === "connected" ? "connected" : "connecting";
    if (now === this.#reached || this.ended !== null) {
      return;
    }
    this.#reached = now;
    clearTimeout(this.#interruptionTimer);
    if (now === "failed") {
      this.#lose();
      return;
    }
    if (now === "interrupted") {
      // As after a change of networks, where answers would go to the old one.
      this.#line.askAgain();
      this.#interruptionTimer = setTimeout(() => this.#lose(), LONGEST_INTERRUPTION);
    }
    if (now === "connected") {
      clearTimeout(this.#lossTimer);
      this.#lossTimer = undefined;
    }
    this.emit("connection", { state: now });
  }

  // Once more where the browser gives up, too: what was tried before has come to nothing.
  #lose() {
    this.#lossTimer ??= setTimeout(() => this.hangUp("lost"), LONGEST_LOSS);
    if (this.emit("connection", { state: "failed" }, { cancelable: true })) {
      this.#restart();
    }
  }

  async #restart() {
    try {
      await pause(0, this.#over.signal);
      await this.update({ iceRestart: true });
    } catch (error) {
      this.#trouble(error);
    }
  }

  async #freshServers() {
    const { pc } = this.connection;
    pc.setConfiguration({ ...pc.getConfiguration(), iceServers: await this.#line.iceServers() });
  }

  #must() {
    if (!this.established) {
      throw new GrtcError(INVALID_STATE_ERROR, "There is no call that was answered.");
    }
    return this;
  }
}

function attached(offer) {
  return Array.isArray(offer?.attacheddata) ? offer.attacheddata : [];
}

/** Note what of each kind is wished; what is not named stays as it is. */
function choose(connection, { stream, hold, ...kinds }) {
  for (const kind of KINDS) {
    const wish = kinds[kind];
    if (wish !== undefined) {
      connection.wanted[kind] = wishOf(wish);
    }
    if (stream) {
      connection.tracks[kind] = stream.getTracks().find((track) => track.kind === kind) ?? connection.tracks[kind];
    }
  }
  connection.stream = stream ?? connection.stream;
  connection.hold = hold ? "inactive" : connection.hold;
}

// "accept" is not to ask for it, but to take it if the other side sends it; so is what nobody said.
function wishOf(wish) {
  return { send: wish === true || wish === "send", receive: wish === true || wish === "receive", open: wish !== false && wish !== "send" };
}

// The module's client: one place at the gateway, one call at a time.

const LATEST_BYE = 5000;

/** What a client does if it is not told otherwise; times in ms. */
const DEFAULTS = {
  gateway: undefined, iceServers: undefined, iceTransportPolicy: "all", iceTimeout: 1000, pollTimeout: 30000, retryDelay: 3000,
  noAnswerTimeout: 60000, ipv6: true, resendCandidates: true, videoBandwidth: 0, rsaCertificate: false,
  filterCandidates: (list) => list, reconnect: true, log: () => {},
};

/**
 * A user's place at the gateway. Events: `state` {state, error} (signed-out, signing-in, signed-in, reconnecting),
 * `incoming` {call, event}, `trouble` {error}, `gone` {error}.
 */
class Client extends Emitter {
  #session = null;
  #credentials = null;
  #offered = null;
  #certificates;
  #own = null;
  #byeDue = null;
  #leave = () => this.#left();

  constructor(options = {}) {
    super();
    const unknown = Object.keys(options).find((name) => !(name in DEFAULTS));
    if (unknown !== undefined) {
      throw new GrtcError(CONFIGURATION_ERROR, `There is no option ${unknown}.`);
    }
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.options = { ...DEFAULTS, ...Object.fromEntries(given) };
    this.options.gateway = gatewayOf(this.options.gateway);
    this.#offer(null);
    this.state = "signed-out";
    /** The call there is; null if none. */
    this.call = null;
    /** Microphone and camera that were opened for good, see `openMedia`. */
    this.localStream = null;
  }

  /** The session's id at the gateway; null when signed out. */
  get sessionId() {
    return this.#session?.id ?? null;
  }

  /** Whether others can call this user: false for somebody anonymous. */
  get canBeCalled() {
    return this.#session?.rings ?? false;
  }

  /** Sign in with a DN and its password, with a DN alone, or as nobody. Gives the session's id. */
  async signIn(user = anonymous(), password = undefined) {
    await this.signOut();
    this.#credentials = { user, password };
    globalThis.addEventListener?.("pagehide", this.#leave);
    this.#enter("signing-in");
    try {
      return await this.#open();
    } catch (error) {
      if (this.state === "signing-in") {
        this.#enter("signed-out", error);
      }
      throw error;
    }
  }

  async #open() {
    const { user, password } = this.#credentials;
    const session = this.#makeSession();
    this.#session = session;
    const id = await session.signIn(user, password);
    if (this.#session !== session) {
      await session.signOut();
      throw new GrtcError(INVALID_STATE_ERROR, "The sign-in was overtaken by another, or by a sign-out.");
    }
    this.#offer(id);
    this.#enter("signed-in");
    return id;
  }

  // They are asked for before there is a call, so that it need not wait for them.
  #offer(id) {
    const { iceServers, gateway, log } = this.options;
    if (iceServers === undefined && (id !== null || gateway === globalThis.location?.origin)) {
      this.#offered = new OfferedServers({ gateway, id, log });
    }
    if (id !== null) {
      this.#offered?.get();
    }
  }

  #makeSession() {
    const { gateway, pollTimeout, retryDelay, reconnect, log } = this.options;
    const session = new HttpSession({ gateway, pollTimeout, retryDelay, log, endsWhenUnknown: reconnect });
    session.on("text", ({ detail }) => this.#receive(detail));
    session.on("trouble", ({ detail }) => this.#troubled(detail));
    session.on("recovered", () => this.#enter("signed-in"));
    session.on("gone", ({ detail }) => this.#gone(detail));
    return session;
  }

  #troubled({ error }) {
    this.#enter("reconnecting", error);
    this.emit("trouble", { error });
  }

  #gone({ error, ended }) {
    this.call?.end("gone", error);
    this.emit("gone", { error });
    if (ended || !this.options.reconnect) {
      this.#enter("signed-out", error);
    } else {
      this.#enter("reconnecting", error);
      this.#openAgain(this.#credentials);
    }
  }

  async #openAgain(credentials) {
    while (this.#credentials === credentials && this.state === "reconnecting") {
      try {
        await this.#open();
        return;
      } catch (error) {
        this.emit("trouble", { error });
        if (error.status === 403 || error.status === 401) {
          this.#enter("signed-out", error);
        }
        await pause(this.options.retryDelay);
      }
    }
  }

  /** Hang up and sign out. */
  async signOut() {
    this.call?.hangUp();
    globalThis.removeEventListener?.("pagehide", this.#leave);
    const session = this.#session;
    this.#session = this.#credentials = null;
    this.#enter("signed-out");
    await session?.signOut();
  }

  // The page goes away: no promise of it is kept from here on.
  #left() {
    this.call?.hangUp();
    this.#session?.signOut({ keepalive: true });
    this.#session = this.#credentials = null;
    this.#enter("signed-out");
  }

  /**
   * Call somebody; "self" is a call to oneself. `media` is `{audio, video, stream, hold}`: each kind true,
   * constraints, "send", "receive", "accept" or false, and a stream of one's own in place of the one that is opened for the
   * call. Gives the call while it rings there, see `answered` of it.
   */
  async dial(to, media = { audio: true }, { data = [] } = {}) {
    this.#free();
    const call = this.#take(new Call(this.#line(), to, { data }));
    let ready;
    try {
      ready = await this.#media(call, media);
    } catch (error) {
      call.end("failed", error);
      throw error;
    }
    call.start(ready).catch((error) => call.end("failed", error));
    return call;
  }

  /** Take the call that rings; `media` as for `dial`. */
  async accept(media = { audio: true }) {
    const { call } = this;
    if (!call?.ringing) {
      throw new GrtcError(INVALID_STATE_ERROR, "No call rings.");
    }
    await call.accept(await this.#media(call, media));
  }

  /** Send video in the call there is. */
  async addVideo(video = true) {
    if (!this.call?.established) {
      throw new GrtcError(INVALID_STATE_ERROR, "There is no call that was answered.");
    }
    await this.call.change(await this.#media(this.call, { video }));
  }

  /** Open microphone and camera, to stay open from call to call. Gives the stream. */
  async openMedia({ audio = true, video = false } = {}) {
    const stream = await openMedia({ audio, video }, this.#notice);
    this.closeMedia();
    this.localStream = stream;
    return stream;
  }

  /** Close what `openMedia` opened. */
  closeMedia() {
    closeMedia(this.localStream);
    this.localStream = null;
  }

  // What was opened for good serves; what is missing is opened for this call, and closed with it.
  async #media(call, { stream, audio, video, ...rest }) {
    const kinds = { audio, video };
    const wished = { ...rest, audio: plainWish(audio), video: plainWish(video) };
    const open = (stream ?? this.localStream)?.getTracks().filter(({ readyState }) => readyState === "live") ?? [];
    const lacks = KINDS.filter((kind) => sends(wished[kind]) && !open.some((track) => track.kind === kind));
    if (stream || lacks.length === 0) {
      return { ...wished, stream: stream ?? this.localStream };
    }
    const opened = await openMedia(Object.fromEntries(lacks.map((kind) => [kind, kinds[kind]])), this.#notice);
    if (call.ended !== null) {
      closeMedia(opened);
      throw new GrtcError(INVALID_STATE_ERROR, "The call has ended.");
    }
    call.on("ended", () => closeMedia(opened), { once: true });
    const used = open.filter(({ kind }) => sends(wished[kind]));
    return { ...wished, stream: new MediaStream([...used, ...opened.getTracks()]) };
  }

  #notice = (sentence) => this.options.log("notice", sentence);

  #free() {
    if (this.sessionId === null) {
      throw new GrtcError(INVALID_STATE_ERROR, "Sign in first.");
    }
    if (this.call !== null) {
      throw new GrtcError(INVALID_STATE_ERROR, "There is a call already.");
    }
  }

  #take(call) {
    this.call = call;
    call.on("ended", ({ detail: { cause, error } }) => {
      this.call = this.call === call ? null : this.call;
      const isDue = cause === "refused" && error !== null && !call.hasBye;
      this.#byeDue = isDue ? { peer: call.peer, until: Date.now() + LATEST_BYE } : null;
    });
    this.emit("call", { call });
    return call;
  }

  #receive({ text, peer }) {
    const read = parseText(text);
    if (read.kind === "unknown") {
      this.options.log("warning", `The gateway sent what nobody can read: ${text}`);
    } else if (read.kind === "bye" && this.#isBelated(peer)) {
      this.options.log("notice", `The BYE behind an ERROR of ${peer}`);
    } else if (this.call !== null) {
      this.call.receive(read, peer);
    } else if (read.kind === "offer" || read.kind === "invite") {
      const call = this.#take(new Call(this.#line(), peer ?? "", { offer: read.message ?? "invite" }));
      this.emit("incoming", { call, event: read.kind });
    } else {
      this.options.log("notice", `Nobody waits for ${read.kind}`);
    }
  }

  // An ERROR that ends a call has a BYE behind it, for old clients. It must not end the next call, made at once.
  #isBelated(peer) {
    const due = this.#byeDue;
    if (due === null || due.peer !== peer) {
      return false;
    }
    this.#byeDue = null;
    return Date.now() < due.until;
  }

  /** What a call sees of its client. */
  #line() {
    const session = this.#session;
    return {
      options: this.options,
      connect: () => this.#connect(),
      iceServers: () => this.iceServers(),
      accept: (call) => (this.call === call ? this.accept(this.answerMedia) : undefined),
      deliver: (text, to, signal) => session.deliver(text, to, signal),
      send: (text, to) => session.send(text, to),
      askAgain: () => session.askAgain(),
      bye: (to) => {
        if (session.id !== null) {
          session.sendLast("BYE", to);
        }
      },
    };
  }

  /** What a call is answered with that the SIP Server answers in our place (talk). */
  answerMedia = { audio: true };

  async #connect() {
    const { rsaCertificate, iceTransportPolicy } = this.options;
    this.#certificates ??= rsaCertificate ? [await rsa()] : undefined;
    const certificates = this.#certificates;
    const configuration = { iceServers: await this.iceServers(), iceTransportPolicy, ...(certificates && { certificates }) };
    return new Connection(configuration, this.options);
  }

  /**
   * The ICE servers for a connection: the application's; else those that the gateway offers this session, wherever the page
   * is from. There are none before the sign-in but on the gateway's own pages.
   */
  async iceServers() {
    const { iceServers } = this.options;
    if (iceServers !== undefined) {
      return typeof iceServers === "function" ? iceServers() : iceServers;
    }
    return await this.#offered?.get() ?? [];
  }

  #enter(state, error = null) {
    if (this.state !== state) {
      this.state = state;
      this.emit("state", { state, error });
    }
  }
}

// Constraints are a wish to send and receive; what is not said stays unsaid.
function plainWish(wish) {
  return typeof wish === "object" ? wish !== null : wish;
}

function sends(wish) {
  return wish === true || wish === "send";
}

/** A random name of 36 characters for whoever signs in without one. */
function anonymous() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `anon${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function rsa() {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
  return RTCPeerConnection.generateCertificate(algorithm);
}

/** The gateway's base URI without its end; the page's own if none is given. */
function gatewayOf(given) {
  const text = given ?? globalThis.location?.origin;
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new GrtcError(CONFIGURATION_ERROR, `${text} is no address of a gateway: http[s]://host:port is one.`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new GrtcError(CONFIGURATION_ERROR, "A gateway's address begins with http or https.");
  }
  return url.href.replace(/[?#].*$/, "").replace(/\/+$/, "");
}

// Lists of functions as existing applications know them: jQuery's Callbacks with the flags "unique stopOnFalse".

/** One event of the classic interface: `add` a function, which may return false to keep the later ones from it. */
class Callbacks {
  #list = [];
  #queue = [];
  #firing = -1;
  #fired = false;
  #locked = false;
  #disabled = false;

  /** Add functions, or lists of them; one that is there already is not added again. */
  add(...functions) {
    for (const each of functions.flat(Infinity)) {
      if (typeof each === "function" && !this.#disabled && !this.#list.includes(each)) {
        this.#list.push(each);
      }
    }
    return this;
  }

  /** Remove functions, also while they are called. */
  remove(...functions) {
    for (const each of functions.flat(Infinity)) {
      const at = this.#list.indexOf(each);
      if (at >= 0) {
        this.#list.splice(at, 1);
        this.#firing -= at <= this.#firing ? 1 : 0;
      }
    }
    return this;
  }

  /** Whether a function is in the list; without one, whether any is. */
  has(one) {
    return one === undefined ? this.#list.length > 0 : this.#list.includes(one);
  }

  /** Remove all. */
  empty() {
    this.#list.length = 0;
    return this;
  }

  /** Remove all for good: nothing is added or called again. */
  disable() {
    this.#disabled = this.#locked = true;
    this.#queue.length = this.#list.length = 0;
    return this;
  }

  disabled() {
    return this.#disabled;
  }

  /** Let the firing under way end, and allow no other. */
  lock() {
    this.#locked = true;
    this.#queue.length = 0;
    if (this.#firing < 0) {
      this.disable();
    }
    return this;
  }

  locked() {
    return this.#locked;
  }

  /** Call all with these arguments and this list as `this`. */
  fire(...values) {
    return this.fireWith(this, values);
  }

  /** Call all with a `this` of one's own. A firing that begins inside another waits for its end. */
  fireWith(context, values = []) {
    if (!this.#locked) {
      this.#fired = true;
      this.#queue.push([context, [...values]]);
      if (this.#firing < 0) {
        this.#run();
      }
    }
    return this;
  }

  fired() {
    return this.#fired;
  }

  #run() {
    while (this.#queue.length > 0) {
      const [context, values] = this.#queue.shift();
      for (this.#firing = 0; this.#firing < this.#list.length; this.#firing += 1) {
        if (called(this.#list[this.#firing], context, values) === false) {
          break;
        }
      }
      this.#firing = -1;
    }
  }
}

// What an application's function throws is its own fault: it is reported, and the call goes on.
function called(each, context, values) {
  try {
    return each.apply(context, values);
  } catch (error) {
    globalThis.reportError(error);
    return undefined;
  }
}

// Where the classic interface writes what it did.

const LOG_LEVEL_NONE = 0;
const LOG_LEVEL_ERROR = 1;
const LOG_LEVEL_NOTICE = 2;
const LOG_LEVEL_INFO = 3;
const LOG_LEVEL_DEBUG = 4;

let ownLogger = null;
let externalLogger = null;

/** Writes to an element of the page; without one to the external logger, and without that to the console. */
class Logger {
  #element;

  constructor(element) {
    this.#element = domElement(element);
  }

  /** Write a line; `exception` is told by its message. */
  log(message, exception) {
    const line = exception === undefined || exception === null ? String(message) : `${message}: ${exception.message ?? exception}`;
    if (this.#element) {
      const entry = document.createElement("div");
      entry.textContent = line;
      this.#element.append(entry);
    } else if (externalLogger) {
      externalLogger.info(line);
    } else {
      console.log(line);
    }
  }
}

/** Let all go to one Logger. */
function setLogger(logger) {
  ownLogger = logger;
}

/** Let all go to an object with `info`, as log4js has; null undoes it. */
function setExternalLogger(logger) {
  externalLogger = logger;
}

/** Write a line to whichever logger there is. */
function writeLog(message, exception) {
  (ownLogger ?? new Logger()).log(message, exception);
}

/** An element, also of a jQuery object. */
function domElement(element) {
  return element?.jquery ? element[0] : element ?? null;
}

// The configuration of the classic client: its keys, limits and defaults.

const KEYS = new Set(["webrtc_gateway", "stun_server", "turn_server", "turn_username", "turn_password", "sip_username",
  "sip_password", "dtls_srtp", "enable_ipv6", "noanswer_timeout", "ice_timeout", "ice_optimization", "polling_timeout",
  "use_rsa_certificate"]);

/** What holds where nothing else is configured; times in ms. */
const NOANSWER_TIMEOUT = 60000;
const ICE_TIMEOUT = 1000;
const POLLING_TIMEOUT = 30000;
const LEAST_NOANSWER = 18000;
const LEAST_ICE = 1000;
const LEAST_POLLING = 10000;

/** Check a configuration and read it. Throws an error of type CONFIGURATION_ERROR. */
function readConfiguration(configuration) {
  const given = configuration ?? {};
  const unknown = Object.keys(given).find((key) => !KEYS.has(key));
  if (unknown !== undefined) {
    throw new GrtcError(CONFIGURATION_ERROR, `Unknown configuration parameter: ${unknown}`);
  }
  if (!given.webrtc_gateway) {
    throw new GrtcError(CONFIGURATION_ERROR, "webrtc_gateway is missing");
  }
  if (given.turn_server && !(given.turn_username && given.turn_password)) {
    throw new GrtcError(CONFIGURATION_ERROR, "turn_server needs turn_username and turn_password");
  }
  return {
    gateway: given.webrtc_gateway,
    iceServers: iceServersOf(given),
    dtls: !isFalse(given.dtls_srtp),
    ipv6: isTrue(given.enable_ipv6),
    noanswer: atLeast(given.noanswer_timeout, LEAST_NOANSWER, NOANSWER_TIMEOUT),
    ice: atLeast(given.ice_timeout, LEAST_ICE, ICE_TIMEOUT),
    polling: Number(given.polling_timeout) === 0 && given.polling_timeout !== undefined && given.polling_timeout !== ""
      ? 0 : atLeast(given.polling_timeout, LEAST_POLLING, POLLING_TIMEOUT),
    optimized: isTrue(given.ice_optimization),
    rsa: isTrue(given.use_rsa_certificate),
  };
}

function isTrue(value) {
  return value === true || String(value).toLowerCase() === "true";
}

function isFalse(value) {
  return value === false || String(value).toLowerCase() === "false";
}

function atLeast(value, least, otherwise) {
  const number = Number(value ?? Number.NaN);
  return number >= least ? number : otherwise;
}

// Undefined where none is named: then the gateway is asked for its own.
function iceServersOf({ stun_server: stun, turn_server: turn, turn_username: username, turn_password: credential }) {
  const servers = [
    ...addresses(stun, "stun").map((urls) => ({ urls })),
    ...addresses(turn, "turn").map((urls) => ({ urls, username, credential })),
  ];
  return servers.length > 0 ? servers : undefined;
}

function addresses(list, scheme) {
  return String(list ?? "").split(",").map((each) => each.trim()).filter((each) => each !== "")
    .map((each) => (/^(stuns?|turns?):/.test(each) ? each : `${scheme}:${each}`));
}

// Which browser this is, and whether it can make calls.

const PRODUCTS = [["edge", /Edg(?:e|A|iOS)?\/(\d+)/], ["opera", /OPR\/(\d+)/], ["firefox", /(?:Firefox|FxiOS)\/(\d+)/],
  ["chrome", /(?:Chrome|Chromium|CriOS)\/(\d+)/], ["safari", /Version\/(\d+).*Safari/]];
/** What this library needs of each: unified plan, RTCRtpSender.setStreams, AbortSignal.any. */
const MINIMUM = { chrome: 116, edge: 116, opera: 102, firefox: 124, safari: 17 };

function detected(agent = globalThis.navigator?.userAgent ?? "") {
  for (const [name, pattern] of PRODUCTS) {
    const found = pattern.exec(agent);
    if (found) {
      return { name, version: Number(found[1]) };
    }
  }
  return { name: "unknown", version: 0 };
}

function isWebrtcSupported() {
  return typeof globalThis.RTCPeerConnection === "function" && "addTransceiver" in RTCPeerConnection.prototype
    && typeof AbortSignal.any === "function";
}

function getWebrtcDetectedBrowser(agent) {
  return detected(agent).name;
}

function getWebrtcDetectedVersion(agent) {
  return detected(agent).version;
}

function getWebrtcMinimumVersion(agent) {
  return MINIMUM[detected(agent).name] ?? 0;
}

/** Video constraints by name. What they give is W3C's form; `enableMediaSource` takes the old form too. */
const VideoConstraints = {
  qvga: () => sized(320, 180),
  vga: () => sized(640, 360),
  hd: () => sized(1280, 720),
  custom: (width, height) => sized(width, height),
  /** The screen in the camera's place: `[width, height, most frames a second = 5, least = 1]`. */
  screen: ([width, height, most = 5, least = 1] = []) => ({
    screen: true, frameRate: { min: least, max: most }, ...(width && { width: { max: width } }), ...(height && { height: { max: height } }),
  }),
};

function sized(width, height) {
  return { width: { ideal: width, max: width }, height: { ideal: height, max: height } };
}

// Grtc.MediaSession: the calls of a classic client, one after the other.

class MediaSession {
  #client;
  #data = [];

  constructor(client) {
    this.#client = client;
    this.sessionId = ++MediaSession.sessionId;
    this.onRemoteStream = new Callbacks();
    this.onSessionHold = new Callbacks();
    client.mediaSession = this;
  }

  get client() {
    return this.#client;
  }

  /** The negotiation's state, by the historic names. */
  get state() {
    const { call } = this.#client;
    return call === null ? "new" : call.ringing ? "offer-received" : call.state;
  }

  /**
   * Call somebody, or without a peer (0, null) offer the call there is anew. `holdMedia` offers it on hold. What is
   * not said is as the local stream has it, or as the call has it.
   */
  makeOffer(remoteId, audio, video, holdMedia) {
    this.#client.offer(remoteId, { audio, video, hold: holdMedia === true, data: this.#data });
  }

  makeCall(remoteId, audio, video, holdMedia) {
    this.makeOffer(remoteId, audio, video, holdMedia);
  }

  acceptCall(audio, video, remoteId, holdMedia) {
    this.#client.acceptCall({ audio, video, hold: holdMedia === true }, remoteId);
  }

  rejectCall(remoteId) {
    this.#client.rejectCall(remoteId);
  }

  holdCall() {
    this.#client.holding(true);
  }

  resumeCall() {
    this.#client.holding(false);
  }

  /** Mute or unmute what is sent; nothing is offered. */
  updateCall(audio, video) {
    const { call } = this.#client;
    for (const [kind, on] of [["audio", audio], ["video", video]]) {
      if (on !== undefined) {
        call?.mute(kind, !on);
        this.#client.localStream?.getTracks().filter((track) => track.kind === kind).forEach((track) => { track.enabled = Boolean(on); });
      }
    }
  }

  /** Send the client's present local stream in the call: tracks of the kinds that are true. */
  updateLocalStream(audio = true, video = true) {
    this.#client.useLocalStream({ audio, video });
  }

  /** Send nothing any more. */
  removeLocalStreams() {
    this.#client.useLocalStream({ audio: false, video: false });
  }

  closeSession(sendBye = false) {
    this.#client.closeCall(sendBye);
  }

  terminateCall() {
    this.closeSession(true);
  }

  /** Data for the SIP Server, sent with every offer: a list of `{key, value}`. */
  setData(data) {
    const isPair = (each) => typeof each === "object" && each !== null
      && Object.keys(each).length === 2 && "key" in each && "value" in each;
    if (!Array.isArray(data) || data.length === 0 || !data.every(isPair)) {
      throw new GrtcError(CONFIGURATION_ERROR, "Data must be a list of {key, value}, and not empty.");
    }
    this.#data = data.map(({ key, value }) => ({ key, value }));
  }

  /** What `setData` was given; else what came with the call. */
  getData() {
    return this.#data.length > 0 ? this.#data : this.#client.call?.attachedData ?? [];
  }

  /** Send an object to the SIP Server (`mapData`), or to the other side. */
  sendInfo(data, mapData = true) {
    this.#client.sendInfo(data, mapData);
  }

  /** Ask the gateway for its statistics; they come by onStatsFromServer. */
  getServerStats() {
    this.#client.askForStatistics();
  }

  /** Send digits; 0 if that is under way, -1 if it cannot be. */
  sendDTMF(tones, { duration = 100, tonegap = 50 } = {}) {
    const sent = this.#client.call?.sendDigits(String(tones), { duration, gap: tonegap }) ?? false;
    if (!sent) {
      this.#client.logError("Digits cannot be sent: there is no established call with audio, or they are no digits.");
    }
    return sent ? 0 : -1;
  }

  hasAudioEnabled() {
    return this.#client.call?.sends("audio") ?? false;
  }

  hasVideoEnabled() {
    return this.#client.call?.sends("video") ?? false;
  }

  isEstablished() {
    return this.state === "established";
  }
}

/** Counts up with each session, and stands at the number of the last. */
MediaSession.sessionId = 101;

// Grtc.Client: the historic interface over the module's client.

const EVENTS = ["onConnect", "onRegister", "onFailed", "onDisconnect", "onMediaSuccess", "onMediaFailure", "onIncomingCall",
  "onCallEvent", "onNotifyEvent", "onPeerClosing", "onPeerNoanswer", "onInfoFromPeer", "onStatsFromServer", "onIceDisconnected",
  "onConnectionError", "onGatewayError", "onWebrtcError", "onInvite"];
const IDLE = 0;
const ACCEPTED = 1;
const STARTED = 2;
const CONNECTED = 3;
const LEVELS = { error: LOG_LEVEL_ERROR, warning: LOG_LEVEL_NOTICE, notice: LOG_LEVEL_NOTICE, info: LOG_LEVEL_INFO, debug: LOG_LEVEL_DEBUG };

class ClassicClient {
  #core;
  #offerMedia = { audio: true, video: true };
  #answerMedia = { audio: true, video: true };
  #live = 0;

  constructor(configuration) {
    const read = readConfiguration(configuration);
    if (!isWebrtcSupported()) {
      throw new GrtcError(WEBRTC_NOT_SUPPORTED_ERROR, `This browser (${getWebrtcDetectedBrowser()}) has no WebRTC that can be used.`);
    }
    EVENTS.forEach((name) => { this[name] = new Callbacks(); });
    Object.assign(this, {
      configuration, localStream: null, publicId: null, registeredSSID: -1, mediaSession: null, callState: IDLE, pcCaller: null,
      incomingMsg: null, onHold: false, audioConstraints: true, videoConstraints: true, bandwidthVideo: 500,
      noansTimeout: read.noanswer, iceGatheringTimeout: read.ice, pollingTimeout: read.polling, logLevel: LOG_LEVEL_NOTICE,
      renewSessionOnNeed: false, iceFailed: false, silent: false,
    });
    this.#core = new Client({
      gateway: read.gateway, iceServers: read.iceServers, ipv6: read.ipv6, resendCandidates: !read.optimized,
      rsaCertificate: read.rsa, reconnect: false, log: (level, message, error) => this.#log(LEVELS[level], message, error),
      filterCandidates: (list) => this.filterIceCandidates(list),
    });
    this.#listen();
    if (!read.dtls) {
      this.#warn("dtls_srtp=false cannot be: every browser of today sends media with DTLS-SRTP, and so does this call.");
    }
  }

  /** The call there is, null if none. */
  get call() {
    return this.#core.call;
  }

  // Fields that applications set at any time count from the next call or poll on.
  #settings() {
    Object.assign(this.#core.options, {
      noAnswerTimeout: this.noansTimeout, iceTimeout: this.iceGatheringTimeout, pollTimeout: this.pollingTimeout,
      videoBandwidth: this.bandwidthVideo,
    });
  }

  connect() {
    return this.#signIn(anonymous(), undefined, this.onConnect);
  }

  register(localId) {
    const { sip_username: name, sip_password: password } = this.configuration;
    const user = localId ?? name;
    if (user === undefined || user === "") {
      throw new GrtcError(CONFIGURATION_ERROR, "register needs a DN: give one, or configure sip_username.");
    }
    return this.#signIn(String(user), password, this.onRegister);
  }

  async #signIn(user, password, event) {
    this.disconnect();
    this.#settings();
    const turn = ++this.#live;
    try {
      const id = await this.#core.signIn(user, password);
      this.registeredSSID = id;
      this.publicId = user;
      event.fire({ message: `${user} is signed in`, id: user });
    } catch (error) {
      if (turn === this.#live) {
        this.logError("The sign-in failed", error);
        this.onFailed.fire({ message: error.message });
      }
    }
  }

  disconnect() {
    this.#live += 1;
    this.closeCall(true);
    this.registeredSSID = -1;
    this.#core.signOut();
    this.onDisconnect.fire({ message: "signed out" });
  }

  async enableMediaSource(audio = true, video = true) {
    const kinds = { audio: wished(audio, this.audioConstraints), video: wished(video, this.videoConstraints) };
    try {
      const stream = await openMedia(kinds, (sentence) => this.#warn(sentence));
      this.disableMediaSource();
      this.localStream = stream;
      this.onMediaSuccess.fire({ stream });
    } catch (error) {
      this.logError("Microphone or camera cannot be used", error);
      this.onMediaFailure.fire({ message: `${error.name}: ${error.message}` });
    }
  }

  disableMediaSource() {
    closeMedia(this.localStream);
    this.localStream = null;
  }

  setViewFromStream(element, stream) {
    const view = domElement(element);
    if (view) {
      view.srcObject = stream ?? null;
      if (stream) {
        view.play().catch((error) => this.logNotice("The browser does not play this yet", error));
      }
    }
  }

  /** Applications put their own in its place. */
  filterIceCandidates(list) {
    return list;
  }

  setRenewSessionOnNeed(renew) {
    this.renewSessionOnNeed = Boolean(renew);
    if (renew) {
      this.#warn("setRenewSessionOnNeed is not needed any more: new media and new paths are offered over the same connection.");
    }
  }

  setMediaConstraintsForOffer(audio, video) {
    this.#offerMedia = { audio: Boolean(audio), video: Boolean(video) };
  }

  setMediaConstraintsForAnswer(audio, video) {
    this.#answerMedia = { audio: Boolean(audio), video: Boolean(video) };
  }

  setVideoBandwidth(kbps) {
    this.bandwidthVideo = Number(kbps);
  }

  setLogLevel(level) {
    this.logLevel = Number(level);
  }

  logError(message, exception) {
    this.#log(LOG_LEVEL_ERROR, message, exception);
  }

  logNotice(message, exception) {
    this.#log(LOG_LEVEL_NOTICE, message, exception);
  }

  logInfo(message, exception) {
    this.#log(LOG_LEVEL_INFO, message, exception);
  }

  logDebug(message, exception) {
    this.#log(LOG_LEVEL_DEBUG, message, exception);
  }

  #log(level, message, exception) {
    if (level <= this.logLevel) {
      writeLog(message, exception);
    }
  }

  // What a browser of today does not do is said, however little is logged.
  #warn(sentence) {
    writeLog(`Warning: ${sentence}`);
  }

  #listen() {
    this.#core.on("call", ({ detail: { call } }) => this.#follow(call));
    this.#core.on("incoming", ({ detail }) => this.#rings(detail));
    this.#core.on("trouble", ({ detail: { error } }) => this.onConnectionError.fire({ status: error.status ?? 0 }));
    this.#core.on("gone", () => {
      this.registeredSSID = -1;
      this.onPeerClosing.fire();
    });
  }

  #rings({ call, event }) {
    this.incomingMsg = call.offer;
    if (event === "invite") {
      this.onCallEvent.fire({ event: "invite received" });
      this.onInvite.fire({ peer: call.peer });
    } else {
      this.onCallEvent.fire({ event: "offer received" });
    }
    this.onIncomingCall.fire({ peer: call.peer, event });
  }

  #follow(call) {
    const mine = (type, listener) => call.on(type, ({ detail }) => listener(detail));
    mine("state", () => { this.pcCaller = call.connection?.pc ?? null; });
    mine("step", (detail) => this.#step(call, detail));
    mine("remote", ({ stream }) => this.mediaSession?.onRemoteStream.fire({ stream }));
    mine("hold", (detail) => this.#held(call, detail));
    mine("refused", ({ error }) => this.onGatewayError.fire({ error: error.errorType }));
    mine("trouble", ({ error }) => this.onWebrtcError.fire({ error }));
    mine("statistics", ({ statistics }) => this.onStatsFromServer.fire(statistics));
    mine("data", ({ text }) => this.onInfoFromPeer.fire(deparam(text)));
    mine("ended", (detail) => this.#ended(detail));
    call.on("connection", (event) => this.#connection(event));
    call.on("asked", (event) => this.#asked(call, event));
  }

  // That an offer came is told when it rings, and not again when it is taken.
  #step(call, { event }) {
    this.pcCaller = call.connection?.pc ?? null;
    if (event !== "offer received" || call.answeredAt !== null) {
      this.onCallEvent.fire({ event });
    }
  }

  #held(call, { local }) {
    this.pcCaller = call.connection.pc;
    this.onHold = local;
    this.callState = call.established ? CONNECTED : this.callState;
    if (call.connection.receiving().length === 0) {
      this.mediaSession?.onSessionHold.fire(true);
    } else if (this.silent && call.remoteStream) {
      this.mediaSession?.onRemoteStream.fire({ stream: call.remoteStream });
    }
    this.silent = call.connection.receiving().length === 0;
  }

  #ended({ cause, error }) {
    Object.assign(this, { callState: IDLE, pcCaller: null, incomingMsg: null, onHold: false, silent: false });
    if (cause === "no-answer") {
      this.onPeerNoanswer.fire();
    } else if (cause === "peer" || cause === "lost" || cause === "refused" && error === null) {
      this.onPeerClosing.fire();
    }
  }

  // The application answers by makeOffer; where none listens, the library restarts ICE itself.
  #connection(event) {
    if (event.detail.state === "failed" && this.onIceDisconnected.has()) {
      event.preventDefault();
      this.iceFailed = true;
      this.onIceDisconnected.fire({ status: "ICE Failed" });
    }
  }

  // The call acts by itself; a ringing one is answered as the application has its media.
  #asked(call, event) {
    const { what } = event.detail;
    this.onNotifyEvent.fire({ event: what, peer: call.peer });
    if (what === "talk" && call.ringing) {
      event.preventDefault();
      this.acceptCall({});
    }
  }

  /** For MediaSession: call, or offer anew. */
  offer(remoteId, { audio, video, hold, data }) {
    this.#settings();
    const { call } = this;
    if (call !== null && call.established) {
      this.#offerAgain(call, { audio, video, hold });
      return;
    }
    if (!remoteId) {
      this.logError("There is no call, so an offer needs somebody to go to.");
      return;
    }
    if (this.registeredSSID === -1) {
      this.logError("Sign in first: connect() or register().");
      return;
    }
    this.callState = STARTED;
    const media = this.#kinds({ audio, video }, this.#offerMedia);
    this.#core.dial(String(remoteId), { ...media, stream: this.localStream ?? new MediaStream(), hold }, { data })
      .catch((error) => this.#failed("The call cannot be made", error));
  }

  #offerAgain(call, { audio, video, hold }) {
    const { iceFailed: iceRestart } = this;
    this.iceFailed = false;
    const media = this.#kinds({ audio, video }, this.#offerMedia);
    for (const [kind, wish] of [["audio", audio], ["video", video]]) {
      media[kind] = wish === undefined && !this.#has(kind) ? undefined : media[kind];
    }
    call.change({ ...media, stream: this.localStream ?? undefined, hold }, { iceRestart })
      .catch((error) => this.#failed("The call cannot be changed", error));
  }

  #has(kind) {
    return this.localStream?.getTracks().some((track) => track.kind === kind && track.readyState === "live") ?? false;
  }

  // A kind that is sent is also received if the flags say so; one that is not wished is not asked for, but taken
  // from the other side where the flags for answers allow it.
  #kinds({ audio, video }, receive) {
    const kind = (name, wish) => {
      if (!(wish ?? (name === "audio" || this.#has(name)))) {
        return this.#answerMedia[name] ? "accept" : false;
      }
      return this.#has(name) ? (receive[name] ? true : "send") : receive[name] ? "receive" : false;
    };
    return { audio: kind("audio", audio), video: kind("video", video) };
  }

  /** For MediaSession: take the call that rings. */
  acceptCall({ audio, video, hold }, remoteId) {
    this.#settings();
    const { call } = this;
    if (!call?.ringing) {
      this.logError("No call rings that could be accepted.");
      return;
    }
    call.peer = remoteId || call.peer;
    this.callState = ACCEPTED;
    const media = this.#kinds({ audio, video }, this.#answerMedia);
    this.#core.accept({ ...media, stream: this.localStream ?? new MediaStream(), hold })
      .catch((error) => this.#failed("The call cannot be accepted", error));
  }

  #failed(what, error) {
    this.logError(what, error);
    if (this.call === null) {
      this.callState = IDLE;
    }
  }

  rejectCall(remoteId) {
    if (this.call?.ringing) {
      this.call.peer = remoteId || this.call.peer;
      this.call.reject();
    }
  }

  /** For MediaSession: hold, or go on. */
  holding(hold) {
    if (!this.call?.established) {
      this.logNotice("There is no call to hold or to resume.");
      return;
    }
    (hold ? this.call.hold() : this.call.resume()).catch((error) => this.#failed("The hold cannot be changed", error));
  }

  /** For MediaSession: end the call there is. */
  closeCall(sendBye) {
    if (sendBye) {
      this.call?.hangUp();
    } else {
      this.call?.end("local");
    }
  }

  /** For MediaSession: send the tracks of the local stream that are wished, and no others. */
  useLocalStream({ audio, video }) {
    if (this.call?.established) {
      this.call.useTracks(this.localStream, { audio, video }).catch((error) => this.#failed("The local stream cannot be sent", error));
    }
  }

  sendInfo(data, mapData) {
    const { call } = this;
    const sending = mapData ? call?.sendToServer(data) : call?.sendToPeer(data);
    sending?.catch((error) => this.logError("The data cannot be sent", error));
  }

  askForStatistics() {
    this.call?.gatewayStatistics().catch((error) => this.logError("No statistics come", error));
  }
}

// What enableMediaSource is told: true is as the field has it, an object is constraints.
function wished(said, configured) {
  return said === true ? configured : said;
}

// The global that existing applications use.

const Grtc = {
  CONFIGURATION_ERROR, CONNECTION_ERROR, WEBRTC_NOT_SUPPORTED_ERROR, WEBRTC_ERROR, INVALID_STATE_ERROR, NOT_READY_ERROR,
  GRTC_ERROR, GRTC_WARN,
  LOG_LEVEL_NONE, LOG_LEVEL_ERROR, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG,
  Client: ClassicClient, MediaSession, Error: GrtcError, Logger, VideoConstraints,
  isWebrtcSupported, getWebrtcDetectedBrowser, getWebrtcDetectedVersion, getWebrtcMinimumVersion, deparam, setLogger, setExternalLogger,
};

globalThis.Grtc = Grtc;
})();
