// One RTCPeerConnection in unified plan: which media are sent and received, and the descriptions of that.

import { GrtcError, WEBRTC_NOT_SUPPORTED_ERROR } from "./errors.mjs";
import { completeSdp, countCandidates, mediaLines, preferIpv4, withoutCandidates, withVideoBandwidth } from "./sdp.mjs";

export const KINDS = ["audio", "video"];

/** How candidates, bandwidth and certificates are to be; the client's options in short. */
const CONNECTION_DEFAULTS = { iceTimeout: 1000, ipv6: true, resendCandidates: true, videoBandwidth: 0, filterCandidates: (list) => list };

/** Media towards the gateway. */
export class Connection {
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
