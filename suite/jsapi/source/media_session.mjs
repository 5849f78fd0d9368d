// Grtc.MediaSession: the calls of a classic client, one after the other.

import { Callbacks } from "./callbacks.mjs";
import { CONFIGURATION_ERROR, GrtcError } from "./errors.mjs";

export class MediaSession {
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
