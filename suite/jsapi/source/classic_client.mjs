// Grtc.Client: the historic interface over the module's client.

import { getWebrtcDetectedBrowser, isWebrtcSupported } from "./browser.mjs";
import { Callbacks } from "./callbacks.mjs";
import { anonymous, Client } from "./client.mjs";
import { readConfiguration } from "./configuration.mjs";
import { CONFIGURATION_ERROR, GrtcError, WEBRTC_NOT_SUPPORTED_ERROR } from "./errors.mjs";
import { domElement, LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, writeLog } from "./logger.mjs";
import { closeMedia, openMedia } from "./media.mjs";
import { deparam } from "./query.mjs";

const EVENTS = ["onConnect", "onRegister", "onFailed", "onDisconnect", "onMediaSuccess", "onMediaFailure", "onIncomingCall",
  "onCallEvent", "onNotifyEvent", "onPeerClosing", "onPeerNoanswer", "onInfoFromPeer", "onStatsFromServer", "onIceDisconnected",
  "onConnectionError", "onGatewayError", "onWebrtcError", "onInvite"];
const IDLE = 0;
const ACCEPTED = 1;
const STARTED = 2;
const CONNECTED = 3;
const LEVELS = { error: LOG_LEVEL_ERROR, warning: LOG_LEVEL_NOTICE, notice: LOG_LEVEL_NOTICE, info: LOG_LEVEL_INFO, debug: LOG_LEVEL_DEBUG };

export class ClassicClient {
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
