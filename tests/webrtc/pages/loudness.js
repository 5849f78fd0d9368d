// Tells how loud each 128 samples are, with their time.

registerProcessor("loudness", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.blocks = [];
  }

  process([input]) {
    const samples = input[0] ?? [];
    const sum = samples.reduce((total, sample) => total + sample * sample, 0);
    this.blocks.push([currentTime, samples.length === 0 ? 0 : Math.sqrt(sum / samples.length)]);
    if (this.blocks.length === 64) {
      this.port.postMessage(this.blocks);
      this.blocks = [];
    }
    return true;
  }
});
