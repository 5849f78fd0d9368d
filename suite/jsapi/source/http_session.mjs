// The HTTP side: sign in, the hanging poll, messages, sign out.

import { CONNECTION_ERROR, GrtcError, NOT_READY_ERROR } from "./errors.mjs";
import { Emitter } from "./events.mjs";

const GONE = new Set([401, 403, 404, 410]);

/**
 * One place at the gateway. Events: `text` {text, peer} for each message that came, `trouble` {error} when a poll
 * failed, `recovered` when one works again, `gone` {error} when the gateway does not know us any more.
 */
export class HttpSession extends Emitter {
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
export function timeoutSignal(milliseconds) {
  return milliseconds > 0 ? AbortSignal.timeout(milliseconds) : new AbortController().signal;
}

/** Wait; `signal` ends it with its reason. */
export function pause(milliseconds, signal) {
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
