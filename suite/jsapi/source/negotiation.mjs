// Offers and answers, one at a time: the ROAP side of a call.

import { ERROR_WORDS, GRTC_ERROR, GrtcError } from "./errors.mjs";
import { Emitter } from "./events.mjs";
import { pause } from "./http_session.mjs";
import { answerMessage, errorMessage, glareWinner, newTiebreaker, offerMessage, okMessage, roapText } from "./roap.mjs";

export const NEW = "new";
export const MAKE_OFFER = "make-offer";
export const PREPARING_OFFER = "preparing-offer";
export const OFFER_SENT = "offer-sent";
export const OFFER_RECEIVED = "offer-received";
export const PREPARING_ANSWER = "offer-received-preparing-answer";
export const ESTABLISHED = "established";

let sessions = 101;

/**
 * The state of a call's offers. Events: `state` {state}, `step` {event}, `settled` after each offer that was
 * answered, `refused` {error} when the far end refuses one, `broken` {error, first} when theirs cannot be used.
 */
export class Negotiation extends Emitter {
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
