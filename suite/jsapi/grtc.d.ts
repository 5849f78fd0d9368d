// Types of grtc.mjs, and of the global Grtc that grtc.js defines.

/** What is wished of a kind of media; constraints count as true. */
export type Wish<C> = boolean | "send" | "receive" | "accept" | C;

export interface Media {
  audio?: Wish<MediaTrackConstraints>;
  video?: Wish<MediaTrackConstraints>;
  /** A stream of one's own; else one is opened for the call. */
  stream?: MediaStream;
  /** Begin on hold. */
  hold?: boolean;
}

export interface KeyValue { key: string; value: string }
export interface Candidate { candidate: string; sdpMLineIndex: number; sdpMid: string | null }
export type LogLevel = "error" | "warning" | "notice" | "info" | "debug";

export interface ClientOptions {
  /** Base URI, http[s]://host:port; the page's own origin if it is not given. */
  gateway?: string;
  /** A list, or a function that gives one for each connection; else what the gateway offers who has signed in. */
  iceServers?: RTCIceServer[] | (() => RTCIceServer[] | Promise<RTCIceServer[]>);
  /** "all". */
  iceTransportPolicy?: RTCIceTransportPolicy;
  /** Milliseconds to wait for candidates: 1000. */
  iceTimeout?: number;
  /** Milliseconds of a poll, 0 for as long as the gateway likes: 30000. */
  pollTimeout?: number;
  /** Milliseconds between tries: 3000. */
  retryDelay?: number;
  /** Milliseconds until a call that nobody answers is given up: 60000. */
  noAnswerTimeout?: number;
  /** Whether IPv6 candidates are sent where there are others: true. */
  ipv6?: boolean;
  /** Whether an offer that needs no new ICE lists the candidates again: true. */
  resendCandidates?: boolean;
  /** Most kbit/s of video that is wished for, 0 for no limit: 0. */
  videoBandwidth?: number;
  /** An RSA certificate in place of ECDSA: false. */
  rsaCertificate?: boolean;
  filterCandidates?: (list: Candidate[]) => Candidate[];
  /** Whether to sign in again when the gateway has forgotten the session: true. */
  reconnect?: boolean;
  log?: (level: LogLevel, message: string, error?: unknown) => void;
}

export type ErrorType =
  | "CONFIGURATION_ERROR" | "CONNECTION_ERROR" | "WEBRTC_NOT_SUPPORTED_ERROR" | "WEBRTC_ERROR" | "INVALID_STATE_ERROR"
  | "NOT_READY_ERROR" | "ERROR" | "WARNING";

export class GrtcError extends Error {
  constructor(type: ErrorType | string, message: string, details?: object);
  name: ErrorType | string;
  /** The HTTP status of the gateway's refusal. */
  status?: number;
  /** ROAP's errorType of the far end's refusal. */
  errorType?: string;
  /** What the gateway says beside it, such as a SIP status. */
  reason?: string;
}

export type ClientState = "signed-out" | "signing-in" | "signed-in" | "reconnecting";
export type NegotiationState =
  | "new" | "make-offer" | "preparing-offer" | "offer-sent" | "offer-received" | "offer-received-preparing-answer" | "established";
export type ConnectionState = "new" | "connecting" | "connected" | "interrupted" | "failed";
export type EndCause = "local" | "peer" | "rejected" | "refused" | "no-answer" | "lost" | "failed" | "gone";
export type Step = "offer sent" | "offer received" | "answer sent" | "answer received" | "invite received";

export interface ClientEvents {
  state: { state: ClientState; error: Error | null };
  /** A call rings; `event` is "invite" where the other side wants our offer. */
  incoming: { call: Call; event: "offer" | "invite" };
  /** There is a call, of either direction. */
  call: { call: Call };
  /** A poll or sign-in failed, and is tried again. */
  trouble: { error: GrtcError };
  /** The gateway has forgotten us. */
  gone: { error: GrtcError };
}

export interface CallEvents {
  state: { state: NegotiationState };
  step: { event: Step };
  remote: { stream: MediaStream };
  hold: { local: boolean; remote: boolean };
  /** preventDefault on "failed" keeps the call from restarting ICE. */
  connection: { state: ConnectionState };
  data: { fields: Record<string, string>; text: string };
  /** The SIP Server asks for talk or hold; preventDefault keeps the call from doing it. */
  asked: { what: "talk" | "hold" };
  statistics: { statistics: GatewayStatistics };
  refused: { error: GrtcError };
  trouble: { error: Error };
  ended: { cause: EndCause; error: Error | null };
}

declare class Emitter<E> extends EventTarget {
  /** Listen; the function returned ends it. */
  on<T extends keyof E & string>(type: T, listener: (event: CustomEvent<E[T]>) => void, options?: AddEventListenerOptions): () => void;
}

export class Client extends Emitter<ClientEvents> {
  constructor(options?: ClientOptions);
  readonly options: Required<Omit<ClientOptions, "iceServers">> & Pick<ClientOptions, "iceServers">;
  readonly state: ClientState;
  readonly sessionId: string | null;
  /** Whether others can call this user: false for somebody anonymous. */
  readonly canBeCalled: boolean;
  readonly call: Call | null;
  localStream: MediaStream | null;
  /** What a call is answered with that the SIP Server answers in our place. */
  answerMedia: Media;
  /** With a DN and its password, with a DN alone, or as nobody. */
  signIn(user?: string, password?: string): Promise<string>;
  signOut(): Promise<void>;
  dial(to: string, media?: Media, options?: { data?: KeyValue[] }): Promise<Call>;
  accept(media?: Media): Promise<void>;
  addVideo(video?: true | MediaTrackConstraints): Promise<void>;
  openMedia(media?: { audio?: boolean | MediaTrackConstraints; video?: boolean | MediaTrackConstraints }): Promise<MediaStream>;
  closeMedia(): void;
  iceServers(): Promise<RTCIceServer[]>;
}

export class Call extends Emitter<CallEvents> {
  private constructor();
  readonly peer: string;
  readonly outgoing: boolean;
  readonly state: NegotiationState;
  readonly ringing: boolean;
  readonly established: boolean;
  readonly held: boolean;
  readonly heldByPeer: boolean;
  readonly answeredAt: number | null;
  readonly ended: EndCause | null;
  readonly remoteStream: MediaStream | null;
  readonly attachedData: KeyValue[];
  data: KeyValue[];
  answered(): Promise<Call>;
  reject(): void;
  hangUp(): void;
  hold(how?: "inactive" | "sendonly"): Promise<void>;
  resume(): Promise<void>;
  change(media: Media, options?: { iceRestart?: boolean }): Promise<void>;
  update(options?: { iceRestart?: boolean }): Promise<void>;
  addVideo(stream: MediaStream): Promise<void>;
  removeVideo(options?: { receive?: boolean }): Promise<void>;
  mute(kind: "audio" | "video", muted?: boolean): void;
  sends(kind: "audio" | "video"): boolean;
  replaceTrack(track: MediaStreamTrack): Promise<void>;
  useTracks(stream: MediaStream | null, kinds: { audio?: boolean; video?: boolean }): Promise<void>;
  sendDigits(tones: string, options?: { duration?: number; gap?: number }): boolean;
  sendToPeer(fields: Record<string, unknown> | string): Promise<void>;
  sendToServer(fields: Record<string, unknown> | string): Promise<void>;
  statistics(): Promise<BrowserStatistics>;
  gatewayStatistics(): Promise<GatewayStatistics>;
}

export interface Flow { packets: number; bytes: number; lost: number | null; jitter: number | null }
export interface BrowserMedium { codec: string | null; rtt: number | null; rx: Flow; tx: Flow }
export interface BrowserStatistics {
  timestamp: number;
  path: { local: string | null; remote: string | null; protocol: string | null; rtt: number | null; srtp: string | null } | null;
  audio: BrowserMedium | null;
  video: BrowserMedium | null;
}
export interface GatewayMedium { rtt: number; rtt_max: number; rtt_average: number; rx: Flow; tx: Flow }
export interface GatewayStatistics { timestamp: number; duration: number; audio?: GatewayMedium; video?: GatewayMedium }

export function decodeQuery(query: string): Record<string, string>;
export function param(fields: Record<string, unknown>): string;
export function openMedia(
  media: { audio?: boolean | MediaTrackConstraints; video?: boolean | MediaTrackConstraints }, notice?: (sentence: string) => void,
): Promise<MediaStream>;

/** One event of the classic interface: jQuery's Callbacks with the flags "unique stopOnFalse". */
export interface Callbacks<A extends unknown[] = []> {
  add(...functions: Array<((...values: A) => unknown) | Array<(...values: A) => unknown>>): this;
  remove(...functions: Array<((...values: A) => unknown) | Array<(...values: A) => unknown>>): this;
  has(one?: (...values: A) => unknown): boolean;
  empty(): this;
  fire(...values: A): this;
  fireWith(context: unknown, values?: A): this;
  fired(): boolean;
  disable(): this;
  disabled(): boolean;
  lock(): this;
  locked(): boolean;
}

declare global {
  namespace Grtc {
    const CONFIGURATION_ERROR: "CONFIGURATION_ERROR";
    const CONNECTION_ERROR: "CONNECTION_ERROR";
    const WEBRTC_NOT_SUPPORTED_ERROR: "WEBRTC_NOT_SUPPORTED_ERROR";
    const WEBRTC_ERROR: "WEBRTC_ERROR";
    const INVALID_STATE_ERROR: "INVALID_STATE_ERROR";
    const NOT_READY_ERROR: "NOT_READY_ERROR";
    const GRTC_ERROR: "ERROR";
    const GRTC_WARN: "WARNING";
    const LOG_LEVEL_NONE: 0;
    const LOG_LEVEL_ERROR: 1;
    const LOG_LEVEL_NOTICE: 2;
    const LOG_LEVEL_INFO: 3;
    const LOG_LEVEL_DEBUG: 4;

    function isWebrtcSupported(): boolean;
    function getWebrtcDetectedBrowser(): string;
    function getWebrtcDetectedVersion(): number;
    function getWebrtcMinimumVersion(): number;
    function deparam(query: string): Record<string, string>;
    function setLogger(logger: Logger | null): void;
    function setExternalLogger(logger: { info(line: string): void } | null): void;

    /** The form of before W3C's; accepted beside it. */
    interface OldConstraints { mandatory?: Record<string, unknown>; optional?: Array<Record<string, unknown>> }
    type Constraints = boolean | MediaTrackConstraints | OldConstraints;

    const VideoConstraints: {
      qvga(): MediaTrackConstraints;
      vga(): MediaTrackConstraints;
      hd(): MediaTrackConstraints;
      custom(width: number, height: number): MediaTrackConstraints;
      screen(size?: [width?: number, height?: number, mostFrames?: number, leastFrames?: number]): MediaTrackConstraints;
    };

    class Error extends GrtcError {}

    class Logger {
      constructor(element?: Element | null);
      log(message: unknown, exception?: unknown): void;
    }

    interface Configuration {
      webrtc_gateway: string;
      stun_server?: string;
      turn_server?: string;
      turn_username?: string;
      turn_password?: string;
      sip_username?: string;
      sip_password?: string;
      dtls_srtp?: boolean | string;
      enable_ipv6?: boolean | string;
      noanswer_timeout?: number | string;
      ice_timeout?: number | string;
      ice_optimization?: boolean | string;
      polling_timeout?: number | string;
      use_rsa_certificate?: boolean | string;
    }

    class Client {
      constructor(configuration: Configuration);
      configuration: Configuration;
      localStream: MediaStream | null;
      publicId: string | null;
      registeredSSID: string | -1;
      mediaSession: MediaSession | null;
      /** 0 idle, 1 accepted, 2 started, 3 connected. */
      callState: 0 | 1 | 2 | 3;
      pcCaller: RTCPeerConnection | null;
      incomingMsg: unknown;
      onHold: boolean;
      audioConstraints: Constraints;
      videoConstraints: Constraints;
      bandwidthVideo: number;
      noansTimeout: number;
      iceGatheringTimeout: number;
      pollingTimeout: number;
      logLevel: number;

      onConnect: Callbacks<[{ message: string; id: string }]>;
      onRegister: Callbacks<[{ message: string; id: string }]>;
      onFailed: Callbacks<[{ message: string }]>;
      onDisconnect: Callbacks<[{ message: string }]>;
      onMediaSuccess: Callbacks<[{ stream: MediaStream }]>;
      onMediaFailure: Callbacks<[{ message: string }]>;
      onIncomingCall: Callbacks<[{ peer: string; event: "offer" | "invite" }]>;
      onInvite: Callbacks<[{ peer: string }]>;
      onCallEvent: Callbacks<[{ event: Step }]>;
      onNotifyEvent: Callbacks<[{ event: "talk" | "hold"; peer: string }]>;
      onPeerClosing: Callbacks;
      onPeerNoanswer: Callbacks;
      onInfoFromPeer: Callbacks<[Record<string, string>]>;
      onStatsFromServer: Callbacks<[GatewayStatistics]>;
      onIceDisconnected: Callbacks<[{ status: "ICE Failed" }]>;
      onConnectionError: Callbacks<[{ status: number }]>;
      onGatewayError: Callbacks<[{ error: string }]>;
      onWebrtcError: Callbacks<[{ error: unknown }]>;

      connect(): void;
      register(localId?: string): void;
      disconnect(): void;
      enableMediaSource(audio?: Constraints, video?: Constraints): void;
      disableMediaSource(): void;
      setViewFromStream(element: HTMLMediaElement | { 0?: HTMLMediaElement }, stream: MediaStream | null): void;
      filterIceCandidates(list: Candidate[]): Candidate[];
      setRenewSessionOnNeed(renew: boolean): void;
      setMediaConstraintsForOffer(audio: boolean, video: boolean): void;
      setMediaConstraintsForAnswer(audio: boolean, video: boolean): void;
      setVideoBandwidth(kbps: number): void;
      setLogLevel(level: number): void;
      logError(message: unknown, exception?: unknown): void;
      logNotice(message: unknown, exception?: unknown): void;
      logInfo(message: unknown, exception?: unknown): void;
      logDebug(message: unknown, exception?: unknown): void;
    }

    class MediaSession {
      static sessionId: number;
      constructor(client: Client);
      readonly client: Client;
      readonly state: NegotiationState;
      sessionId: number;
      onRemoteStream: Callbacks<[{ stream: MediaStream }]>;
      onSessionHold: Callbacks<[true]>;
      makeOffer(remoteId?: string | 0 | null, audio?: boolean, video?: boolean, holdMedia?: boolean): void;
      makeCall(remoteId?: string | 0 | null, audio?: boolean, video?: boolean, holdMedia?: boolean): void;
      acceptCall(audio?: boolean, video?: boolean, remoteId?: string, holdMedia?: boolean): void;
      rejectCall(remoteId?: string): void;
      holdCall(): void;
      resumeCall(): void;
      updateCall(audio?: boolean, video?: boolean): void;
      updateLocalStream(audio?: boolean, video?: boolean): void;
      removeLocalStreams(): void;
      closeSession(sendBye?: boolean): void;
      terminateCall(): void;
      setData(data: KeyValue[]): void;
      getData(): KeyValue[];
      sendInfo(data: Record<string, unknown>, mapData?: boolean): void;
      getServerStats(): void;
      sendDTMF(tones: string | number, options?: { duration?: number; tonegap?: number }): 0 | -1;
      hasAudioEnabled(): boolean;
      hasVideoEnabled(): boolean;
      isEstablished(): boolean;
    }
  }
}
