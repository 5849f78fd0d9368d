// One call: hold, media, data, digits, statistics, and how it ends.

import { KINDS } from "./connection.mjs";
import { GrtcError, INVALID_STATE_ERROR } from "./errors.mjs";
import { Emitter } from "./events.mjs";
import { pause, timeoutSignal } from "./http_session.mjs";
import { Negotiation } from "./negotiation.mjs";
import { decodeQuery, param } from "./query.mjs";
import { summary } from "./statistics.mjs";

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
export class Call extends Emitter {
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
