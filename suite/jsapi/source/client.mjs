// The module's client: one place at the gateway, one call at a time.

import { Call } from "./call.mjs";
import { Connection, KINDS } from "./connection.mjs";
import { CONFIGURATION_ERROR, GrtcError, INVALID_STATE_ERROR } from "./errors.mjs";
import { Emitter } from "./events.mjs";
import { HttpSession, pause } from "./http_session.mjs";
import { OfferedServers } from "./ice_servers.mjs";
import { closeMedia, openMedia } from "./media.mjs";
import { parseText } from "./roap.mjs";

const LATEST_BYE = 5000;

/** What a client does if it is not told otherwise; times in ms. */
export const DEFAULTS = {
  gateway: undefined, iceServers: undefined, iceTransportPolicy: "all", iceTimeout: 1000, pollTimeout: 30000, retryDelay: 3000,
  noAnswerTimeout: 60000, ipv6: true, resendCandidates: true, videoBandwidth: 0, rsaCertificate: false,
  filterCandidates: (list) => list, reconnect: true, log: () => {},
};

/**
 * A user's place at the gateway. Events: `state` {state, error} (signed-out, signing-in, signed-in, reconnecting),
 * `incoming` {call, event}, `trouble` {error}, `gone` {error}.
 */
export class Client extends Emitter {
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
export function anonymous() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `anon${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function rsa() {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
  return RTCPeerConnection.generateCertificate(algorithm);
}

/** The gateway's base URI without its end; the page's own if none is given. */
export function gatewayOf(given) {
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
