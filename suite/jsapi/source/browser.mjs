// Which browser this is, and whether it can make calls.

const PRODUCTS = [["edge", /Edg(?:e|A|iOS)?\/(\d+)/], ["opera", /OPR\/(\d+)/], ["firefox", /(?:Firefox|FxiOS)\/(\d+)/],
  ["chrome", /(?:Chrome|Chromium|CriOS)\/(\d+)/], ["safari", /Version\/(\d+).*Safari/]];
/** What this library needs of each: unified plan, RTCRtpSender.setStreams, AbortSignal.any. */
const MINIMUM = { chrome: 116, edge: 116, opera: 102, firefox: 124, safari: 17 };

function detected(agent = globalThis.navigator?.userAgent ?? "") {
  for (const [name, pattern] of PRODUCTS) {
    const found = pattern.exec(agent);
    if (found) {
      return { name, version: Number(found[1]) };
    }
  }
  return { name: "unknown", version: 0 };
}

export function isWebrtcSupported() {
  return typeof globalThis.RTCPeerConnection === "function" && "addTransceiver" in RTCPeerConnection.prototype
    && typeof AbortSignal.any === "function";
}

export function getWebrtcDetectedBrowser(agent) {
  return detected(agent).name;
}

export function getWebrtcDetectedVersion(agent) {
  return detected(agent).version;
}

export function getWebrtcMinimumVersion(agent) {
  return MINIMUM[detected(agent).name] ?? 0;
}

/** Video constraints by name. What they give is W3C's form; `enableMediaSource` takes the old form too. */
export const VideoConstraints = {
  qvga: () => sized(320, 180),
  vga: () => sized(640, 360),
  hd: () => sized(1280, 720),
  custom: (width, height) => sized(width, height),
  /** The screen in the camera's place: `[width, height, most frames a second = 5, least = 1]`. */
  screen: ([width, height, most = 5, least = 1] = []) => ({
    screen: true, frameRate: { min: least, max: most }, ...(width && { width: { max: width } }), ...(height && { height: { max: height } }),
  }),
};

function sized(width, height) {
  return { width: { ideal: width, max: width }, height: { ideal: height, max: height } };
}
