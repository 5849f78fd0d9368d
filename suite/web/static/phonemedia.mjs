// Levels, devices and the ring of the phone's page.

/** Shows how loud streams are: `watch(meter, stream)`, with null for silence. */
export class Levels {
  #context = null;
  #watched = new Map();

  constructor(period) {
    setInterval(() => this.#look(), period);
  }

  /** Must be called in answer to a person's press once, or browsers keep the context asleep. */
  wake() {
    this.#context ??= new AudioContext();
    void this.#context.resume();
  }

  watch(meter, stream) {
    const tracks = stream?.getAudioTracks() ?? [];
    const had = this.#watched.get(meter);
    if (had?.track === tracks[0]) {
      return;
    }
    had?.source.disconnect();
    this.#watched.delete(meter);
    meter.value = 0;
    if (tracks.length > 0) {
      this.wake();
      const source = this.#context.createMediaStreamSource(new MediaStream([tracks[0]]));
      const analyser = this.#context.createAnalyser();
      source.connect(analyser);
      this.#watched.set(meter, { source, analyser, track: tracks[0], samples: new Float32Array(analyser.fftSize) });
    }
  }

  #look() {
    for (const [meter, { analyser, samples }] of this.#watched) {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // From -60 dB to 0 dB.
      meter.value = Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 6));
    }
  }

  /** Two soft tones; the function returned ends the ringing. */
  ring() {
    this.wake();
    const context = this.#context;
    const tone = () => {
      const gain = new GainNode(context, { gain: 0.08 });
      gain.connect(context.destination);
      for (const [index, frequency] of [523, 659].entries()) {
        const oscillator = new OscillatorNode(context, { frequency });
        oscillator.connect(gain);
        oscillator.start(context.currentTime + index * 0.25);
        oscillator.stop(context.currentTime + index * 0.25 + 0.2);
      }
    };
    tone();
    const timer = setInterval(tone, 2500);
    return () => clearInterval(timer);
  }
}

/** Fills the two lists of devices; they show once there is a choice. */
export async function listDevices(lists, stream) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  for (const [kind, list] of Object.entries(lists)) {
    const own = devices.filter((device) => device.kind === `${kind}input` && device.deviceId !== "");
    const used = stream?.getTracks().find((track) => track.kind === kind)?.getSettings().deviceId;
    list.replaceChildren(...own.map(({ deviceId, label }) => new Option(label || "Unnamed", deviceId, false, deviceId === used)));
    list.disabled = own.length === 0;
  }
  return Object.values(lists).some((list) => list.options.length > 1);
}
