// Runs in a page before anything else. `wishes` is what this user is like:
// {tone: Hz that is said, iceServers: [...], relayOnly: bool, only: {audio: WORDS, video: WORDS}}.
// `only` leaves those codecs whose name and parameters have the words.
//
// The microphone is an oscillator, so that users can be told apart by ear; the camera is a canvas.
// What is measured is what a person would notice: tones that come out, pictures that are decoded.

const QUIET = 0.005;
/** Hz: what G.711 and a jitter buffer leave of a tone is well within. */
const OFF_PITCH = 15;
const STEP = 40;
const Native = globalThis.RTCPeerConnection;
const connections = [];
const ears = [];
const rig = globalThis.rig = { connections, said: [] };
let context = null;

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

function audio() {
  context ??= new AudioContext();
  if (context.state === "suspended") {
    context.resume();
  }
  return context;
}

// Who speaks.

function voice() {
  const oscillator = new OscillatorNode(audio(), { frequency: wishes.tone ?? 440 });
  const loudness = new GainNode(audio(), { gain: 0.5 });
  const out = audio().createMediaStreamDestination();
  oscillator.connect(loudness).connect(out);
  oscillator.start();
  return out.stream.getAudioTracks()[0];
}

function picture() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 240];
  const pen = canvas.getContext("2d");
  let count = 0;
  const draw = () => {
    pen.fillStyle = `hsl(${count * 7 % 360} 80% 50%)`;
    pen.fillRect(0, 0, 320, 240);
    pen.fillStyle = "black";
    pen.font = "80px sans-serif";
    pen.fillText(String(count++), 40, 140);
  };
  draw();
  setInterval(draw, 66);
  return canvas.captureStream(15).getVideoTracks()[0];
}

function media(wanted) {
  const tracks = [...(wanted.audio ? [voice()] : []), ...(wanted.video ? [picture()] : [])];
  return new MediaStream(tracks);
}

if (navigator.mediaDevices !== undefined) {
  navigator.mediaDevices.getUserMedia = async (wanted) => media(wanted);
}

// Who listens.

function listen(track) {
  if (track.kind !== "audio") {
    return;
  }
  const stream = new MediaStream([track]);
  // Chromium decodes a track only for somebody who plays it.
  const player = new Audio();
  player.muted = true;
  player.srcObject = stream;
  player.play().catch(() => {});
  const analyser = new AnalyserNode(audio(), { fftSize: 8192, smoothingTimeConstant: 0 });
  const source = audio().createMediaStreamSource(stream);
  source.connect(analyser);
  ears.push({ track, player, source, analyser });
}

function leaveCodecs(connection) {
  for (const transceiver of connection.getTransceivers()) {
    const { kind } = transceiver.receiver.track;
    const words = wishes.only?.[kind];
    if (words !== undefined) {
      const { codecs } = RTCRtpReceiver.getCapabilities(kind);
      const left = codecs.filter(({ mimeType, sdpFmtpLine }) => `${mimeType} ${sdpFmtpLine ?? ""}`.includes(words));
      transceiver.setCodecPreferences(left);
    }
  }
}

class Watched extends Native {
  constructor(configuration = {}, ...rest) {
    const changed = { ...configuration };
    if (wishes.iceServers) {
      changed.iceServers = wishes.iceServers;
    }
    if (wishes.relayOnly) {
      changed.iceTransportPolicy = "relay";
    }
    super(changed, ...rest);
    connections.push(this);
    this.addEventListener("track", ({ track }) => listen(track));
  }

  createOffer(...options) {
    leaveCodecs(this);
    return super.createOffer(...options);
  }

  createAnswer(...options) {
    leaveCodecs(this);
    return super.createAnswer(...options);
  }
}
globalThis.RTCPeerConnection = Watched;
if ("webkitRTCPeerConnection" in globalThis) {
  globalThis.webkitRTCPeerConnection = Watched;
}

function open() {
  return connections.filter((each) => each.signalingState !== "closed");
}

function heardBy({ analyser }) {
  const wave = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(wave);
  // The latest 40 ms say whether anything is heard now.
  const late = wave.subarray(wave.length - 2048);
  const level = Math.sqrt(late.reduce((sum, one) => sum + one * one, 0) / late.length);
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  const width = analyser.context.sampleRate / analyser.fftSize;
  // Below 100 Hz there is no tone of ours.
  const first = Math.ceil(100 / width);
  let best = first;
  for (let bin = first; bin < bins.length; bin++) {
    best = bins[bin] > bins[best] ? bin : best;
  }
  return { hz: Math.round(best * width), level };
}

/** What comes out of the loudspeaker now: the loudest tone, and how loud all of it is. */
rig.heard = () => {
  const live = ears.filter(({ track }) => track.readyState === "live");
  const all = live.map(heardBy).sort((one, other) => other.level - one.level);
  return all[0] ?? { hz: 0, level: 0 };
};

/** Waits until `steady` times in a row `is` holds of what is heard. */
async function until(is, seconds, steady) {
  const begun = performance.now();
  let times = 0;
  let heard = rig.heard();
  while (performance.now() - begun < seconds * 1000) {
    heard = rig.heard();
    times = is(heard) ? times + 1 : 0;
    if (times === steady) {
      return { ...heard, ok: true, after: Math.round(performance.now() - begun) };
    }
    await pause(STEP);
  }
  return { ...heard, ok: false, after: seconds * 1000 };
}

/** Waits until that tone, or with null any sound, has been heard for 160 ms. */
rig.untilHeard = ({ hz, seconds }) => until(
  (heard) => heard.level > QUIET && (hz === null || Math.abs(heard.hz - hz) < OFF_PITCH),
  seconds,
  5,
);

/** Waits until nothing has been heard for half a second. */
rig.untilSilent = ({ seconds }) => until((heard) => heard.level < QUIET, seconds, 13);

// Gaps.

let loudness = null;

/** Begins to take note of every moment of the sound that is heard now. */
rig.watch = async () => {
  const { source } = ears.filter(({ track }) => track.readyState === "live").at(-1);
  await audio().audioWorklet.addModule("/loudness.js");
  const node = new AudioWorkletNode(audio(), "loudness");
  loudness = [];
  node.port.onmessage = ({ data }) => { loudness?.push(...data); };
  source.connect(node);
  rig.unwatch = () => {
    source.disconnect(node);
    node.port.onmessage = null;
  };
  rig.concealedBefore = (await rig.stats()).inbound.audio?.concealed ?? 0;
};

/** Ends it; gives the longest silence in ms, how many ms were watched, and what was concealed. */
rig.gaps = async () => {
  const concealed = ((await rig.stats()).inbound.audio?.concealed ?? 0) - rig.concealedBefore;
  rig.unwatch();
  const blocks = loudness;
  loudness = null;
  const ends = blocks.filter(([, level]) => level > QUIET).map(([at]) => at);
  // On a busy machine the first blocks come before the sound has been led there.
  const marks = [ends[0] ?? blocks[0][0], ...ends, blocks.at(-1)[0]];
  const gaps = marks.slice(1).map((at, index) => at - marks[index]);
  const longest = Math.max(...gaps);
  return {
    longest: Math.round(longest * 1000),
    after: Math.round((marks[gaps.indexOf(longest)] - marks[0]) * 1000),
    watched: Math.round((marks.at(-1) - marks[0]) * 1000),
    concealed: Math.round(concealed / 48),
  };
};

// What the browser itself tells.

function side(candidate) {
  return candidate === undefined ? null : {
    type: candidate.candidateType,
    protocol: candidate.protocol,
    relay: candidate.relayProtocol ?? null,
    address: candidate.address ?? candidate.ip ?? null,
    port: candidate.port,
  };
}

function flows(reports, type) {
  const found = {};
  for (const each of reports.filter((report) => report.type === type)) {
    const codec = reports.find(({ id }) => id === each.codecId);
    const before = found[each.kind] ?? { packets: 0, frames: 0, concealed: 0, lost: 0, codec: null, fmtp: null };
    found[each.kind] = {
      packets: before.packets + (each.packetsReceived ?? each.packetsSent ?? 0),
      frames: before.frames + (each.framesDecoded ?? each.framesEncoded ?? 0),
      concealed: before.concealed + (each.concealedSamples ?? 0),
      lost: before.lost + (each.packetsLost ?? 0),
      codec: codec?.mimeType ?? before.codec,
      fmtp: codec?.sdpFmtpLine ?? before.fmtp,
    };
  }
  return found;
}

/** Of the latest connection that is open: its pair of candidates, DTLS, what flows. */
rig.stats = async () => {
  const one = open().at(-1) ?? connections.at(-1);
  if (one === undefined) {
    return { state: "none", inbound: {}, outbound: {} };
  }
  const reports = [...(await one.getStats()).values()];
  const transport = reports.find(({ type }) => type === "transport");
  const pairs = reports.filter(({ type }) => type === "candidate-pair");
  const pair = pairs.find(({ id }) => id === transport?.selectedCandidatePairId)
    ?? pairs.find(({ selected, nominated, state }) => selected || (nominated && state === "succeeded"));
  return {
    state: one.connectionState,
    ice: one.iceConnectionState,
    dtls: transport?.dtlsState ?? null,
    cipher: transport?.srtpCipher ?? null,
    local: side(reports.find(({ id }) => id === pair?.localCandidateId)),
    remote: side(reports.find(({ id }) => id === pair?.remoteCandidateId)),
    inbound: flows(reports, "inbound-rtp"),
    outbound: flows(reports, "outbound-rtp"),
  };
};

/** How many connections there are that are not closed. */
rig.open = () => open().length;

/** Waits until `count` more pictures have been decoded. */
rig.untilSeen = async ({ count, seconds }) => {
  const decoded = async () => (await rig.stats()).inbound.video?.frames ?? 0;
  const begun = performance.now();
  const before = await decoded();
  while (performance.now() - begun < seconds * 1000) {
    const more = await decoded() - before;
    if (more >= count) {
      return more;
    }
    await pause(100);
  }
  return await decoded() - before;
};

// Two pages without anybody between them.

const gathered = (one, seconds = 5) => new Promise((resolve) => {
  const check = () => { if (one.iceGatheringState === "complete") { resolve(); } };
  setTimeout(resolve, seconds * 1000);
  one.addEventListener("icegatheringstatechange", check);
  check();
});

rig.offer = async ({ video = false, seconds }) => {
  const one = new RTCPeerConnection();
  const stream = media({ audio: true, video });
  stream.getTracks().forEach((track) => one.addTrack(track, stream));
  await one.setLocalDescription(await one.createOffer());
  await gathered(one, seconds);
  return one.localDescription.sdp;
};

rig.answer = async ({ sdp, video = false }) => {
  const one = new RTCPeerConnection();
  await one.setRemoteDescription({ type: "offer", sdp });
  const stream = media({ audio: true, video });
  stream.getTracks().forEach((track) => one.addTrack(track, stream));
  await one.setLocalDescription(await one.createAnswer());
  await gathered(one);
  return one.localDescription.sdp;
};

rig.accept = ({ sdp }) => connections.at(-1).setRemoteDescription({ type: "answer", sdp });

rig.hangUp = () => open().forEach((one) => one.close());
