// The texts that client and gateway send each other (ROAP, draft-jennings-rtcweb-signaling-01, and words beside it).

const WORDS = { BYE: "bye", INVITE: "invite", "EVENT-TALK": "talk", "EVENT-HOLD": "hold" };
const TYPES = { OFFER: "offer", ANSWER: "answer", OK: "ok", ERROR: "error" };
const MOST_TIEBREAKER = 429496723;

/**
 * Read what the gateway sent: `{kind}` with `message` (ROAP), `data` (text of INFO-PEER) or `value` (PUT-STATS).
 * `kind` is "unknown" for what nobody can use; nothing that a peer sends makes this throw.
 */
export function parseText(text) {
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
export function roapText(message) {
  return `RSMP ${JSON.stringify(message)}`;
}

/**
 * An OFFER; `answererSessionId` is null as long as the other side has not named itself. The tie-breaker is there under
 * the old clients' name and under the draft's, by which a gateway knows that crossing offers are settled here.
 */
export function offerMessage({ sdp, candidates, own, other, seq, tiebreaker, data }) {
  const message = {
    messageType: "OFFER", sdp, Candidates: candidates, offererSessionId: own, answererSessionId: other ?? null, seq,
    tiebreaker, tieBreaker: tiebreaker,
  };
  return data?.length ? { ...message, attacheddata: data } : message;
}

/** The ANSWER to an offer. */
export function answerMessage(offer, { sdp, candidates, own }) {
  const { offererSessionId, seq } = offer;
  return { messageType: "ANSWER", sdp, Candidates: candidates, offererSessionId, answererSessionId: own, seq };
}

/** The OK to an answer. */
export function okMessage({ offererSessionId, answererSessionId, seq }) {
  return { messageType: "OK", offererSessionId, answererSessionId, seq };
}

/** The refusal of an offer. */
export function errorMessage({ offererSessionId, seq }, own, errorType) {
  return { messageType: "ERROR", offererSessionId, answererSessionId: own, seq, errorType };
}

/** A tie-breaker: the higher one wins when two offers cross. `random` gives 0 to below 1. */
export function newTiebreaker(random = Math.random) {
  return 1 + Math.floor(random() * MOST_TIEBREAKER);
}

/** Who wins when our offer and theirs cross: "ours", "theirs", or "none" where both must try again. */
export function glareWinner(ours, theirs) {
  const other = Number.isFinite(theirs) ? theirs : 0;
  return ours === other ? "none" : ours > other ? "ours" : "theirs";
}
