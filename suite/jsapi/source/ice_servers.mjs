// The gateway's own ICE servers, which a page has that names none.

import { CONNECTION_ERROR, GrtcError } from "./errors.mjs";

// Within this time there is an answer, or calls go on without.
const PATIENCE = 2000;
// Who had no answer asks again with a later call.
const ASK_AGAIN = 60000;

/** What one session is offered: asked for at once, and anew in time, for credentials live some minutes only. */
export class OfferedServers {
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
