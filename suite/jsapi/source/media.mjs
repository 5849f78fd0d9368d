// Microphone, camera and screen; the old and the new way to say which.

const OLD_NAMES = {
  googEchoCancellation: "echoCancellation", googAutoGainControl: "autoGainControl", googNoiseSuppression: "noiseSuppression",
  sourceId: "deviceId", chromeMediaSourceId: "deviceId", minFrameRate: "frameRate", maxFrameRate: "frameRate",
  minWidth: "width", maxWidth: "width", minHeight: "height", maxHeight: "height", minAspectRatio: "aspectRatio", maxAspectRatio: "aspectRatio",
};

const KNOWN = new Set(["width", "height", "frameRate", "aspectRatio", "deviceId", "facingMode", "echoCancellation",
  "autoGainControl", "noiseSuppression", "sampleRate", "channelCount"]);

/**
 * Constraints as today's browsers take them, of either form: `{mandatory: {maxWidth: 640}, optional: [...]}` or W3C's.
 * `notice(sentence)` hears what no browser knows any more.
 */
export function modernConstraints(constraints, notice = () => {}) {
  if (typeof constraints !== "object" || constraints === null) {
    return Boolean(constraints);
  }
  const { mandatory, optional, ...rest } = constraints;
  if (mandatory === undefined && optional === undefined) {
    return constraints;
  }
  const modern = { ...rest };
  for (const [name, value] of Object.entries(mandatory ?? {})) {
    put(modern, name, value, true, notice);
  }
  for (const [name, value] of (optional ?? []).flatMap(Object.entries)) {
    put(modern, name, value, false, notice);
  }
  return modern;
}

function put(modern, name, value, must, notice) {
  if (name === "chromeMediaSource" || name === "mediaSource") {
    modern.screen = true;
    return;
  }
  const today = OLD_NAMES[name] ?? (KNOWN.has(name) ? name : null);
  if (today === null) {
    notice(`No browser of today knows the constraint ${name}.`);
    return;
  }
  const bound = name.slice(0, 3);
  if (bound === "min" || bound === "max") {
    modern[today] = { ...modern[today], [must ? bound : "ideal"]: value };
  } else {
    modern[today] = must ? { exact: value } : { ideal: value };
  }
}

/** Open microphone and camera. Rejects with the browser's own error, or NotSupportedError where the page may not ask. */
export async function openMedia({ audio = false, video = false }, notice) {
  const media = globalThis.navigator?.mediaDevices;
  if (media === undefined) {
    throw new DOMException("Microphone and camera are for pages over https or on localhost only.", "NotSupportedError");
  }
  const [sound, picture] = [modernConstraints(audio, notice), modernConstraints(video, notice)];
  if (!picture.screen) {
    return media.getUserMedia({ audio: sound, video: picture });
  }
  const screen = await media.getDisplayMedia({ video: displayConstraints(picture), audio: false });
  const voice = sound ? (await media.getUserMedia({ audio: sound })).getAudioTracks() : [];
  return new MediaStream([...voice, ...screen.getVideoTracks()]);
}

// getDisplayMedia refuses min and exact.
function displayConstraints({ screen, ...rest }) {
  const allowed = Object.entries(rest).map(([name, value]) => {
    const { min, exact, ...kept } = typeof value === "object" ? value : { ideal: value };
    return [name, kept];
  });
  return allowed.length > 0 ? Object.fromEntries(allowed) : true;
}

/** Stop all tracks of a stream. */
export function closeMedia(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
