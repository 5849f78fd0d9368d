// Data through the relay: two RTCPeerConnections in this page that may use nothing but the relay,
// and a data channel between them.

const CONNECT_LIMIT = 25000;
const MOVE_LIMIT = 10000;
const PINGS = 20;
const BLOCK = 16 * 1024;
const BLOCKS = 16;

/**
 * Moves data through the relay in `iceServers`. Resolves to
 * {flows, stage, reason, rtt, bytes, seconds, errors, local}; `stage` is how far it came: "refused",
 * "gathering" (no relay candidate), "connecting", "moving" or "done".
 */
export async function sendData(iceServers) {
  const result = { flows: false, stage: "refused", reason: null, rtt: null, bytes: 0, seconds: 0, errors: [], local: null };
  const ends = [];
  try {
    ends.push(relayOnly(iceServers), relayOnly(iceServers));
    const [caller, callee] = ends;
    result.stage = "gathering";
    const signs = watch(caller, callee, result);
    const channel = caller.createDataChannel("flow");
    const opened = new Promise((resolve) => channel.addEventListener("open", resolve));
    callee.addEventListener("datachannel", (event) => echo(event.channel));
    await connect(caller, callee);
    await within(CONNECT_LIMIT, Promise.race([opened, signs.failed]), "no connection within 25 s");
    result.stage = "moving";
    await within(MOVE_LIMIT, Promise.race([move(channel, result), signs.failed]), "data stopped half way");
    result.local = await selectedCandidate(caller);
    result.flows = true;
    result.stage = "done";
  } catch (error) {
    result.reason = error.message;
  } finally {
    ends.forEach((end) => end.close());
  }
  return result;
}

function relayOnly(iceServers) {
  return new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" });
}

// Hands candidates to the other end and turns the ways to fail into one promise that rejects.
function watch(caller, callee, result) {
  let fail;
  const failed = new Promise((_, reject) => { fail = reject; });
  failed.catch(() => {});
  let relays = 0;
  for (const [from, to] of [[caller, callee], [callee, caller]]) {
    from.addEventListener("icecandidate", (event) => {
      if (event.candidate === null) {
        if (relays === 0) {
          fail(new Error("no relay candidate"));
        }
        return;
      }
      if (event.candidate.candidate !== "") {
        relays += 1;
        result.stage = result.stage === "gathering" ? "connecting" : result.stage;
      }
      to.addIceCandidate(event.candidate).catch(fail);
    });
    from.addEventListener("icecandidateerror", (event) => {
      result.errors.push({ code: event.errorCode, text: event.errorText ?? "", url: event.url ?? "", address: event.address ?? "" });
    });
    from.addEventListener("connectionstatechange", () => {
      if (from.connectionState === "failed") {
        fail(new Error("no pair of relay addresses passed the connectivity check"));
      }
    });
  }
  return { failed };
}

async function connect(caller, callee) {
  // The offer is applied at the far end before any candidate of it can be made.
  const offer = await caller.createOffer();
  await callee.setRemoteDescription(offer);
  await caller.setLocalDescription(offer);
  const answer = await callee.createAnswer();
  await caller.setRemoteDescription(answer);
  await callee.setLocalDescription(answer);
}

// Short texts come back as they are; of binary blocks only the total is told.
function echo(channel) {
  let received = 0;
  channel.binaryType = "arraybuffer";
  channel.addEventListener("message", (event) => {
    if (typeof event.data === "string") {
      reply(channel, event.data);
    } else {
      received += event.data.byteLength;
      if (received === BLOCK * BLOCKS) {
        reply(channel, "all");
      }
    }
  });
}

// A message may come a moment before its channel is open at this end, or after the page closed it.
function reply(channel, text) {
  if (channel.readyState === "open") {
    channel.send(text);
  } else if (channel.readyState === "connecting") {
    channel.addEventListener("open", () => channel.send(text), { once: true });
  }
}

async function move(channel, result) {
  const answer = () => new Promise((resolve) => channel.addEventListener("message", resolve, { once: true }));
  const times = [];
  for (let ping = 0; ping < PINGS; ping += 1) {
    const sent = performance.now();
    const back = answer();
    channel.send(`ping ${ping}`);
    await back;
    times.push(performance.now() - sent);
  }
  times.sort((a, b) => a - b);
  result.rtt = times[Math.floor(PINGS / 2)];

  const started = performance.now();
  const all = answer();
  for (let block = 0; block < BLOCKS; block += 1) {
    channel.send(new Uint8Array(BLOCK));
  }
  await all;
  result.bytes = BLOCK * BLOCKS;
  result.seconds = (performance.now() - started) / 1000;
}

async function selectedCandidate(connection) {
  const stats = await connection.getStats();
  const entries = [...stats.values()];
  // While a check of it is under way the pair in use is not "succeeded", and Firefox has no transport.
  const pair = stats.get(entries.find(({ type }) => type === "transport")?.selectedCandidatePairId)
    ?? entries.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
  const local = pair && stats.get(pair.localCandidateId);
  return local ? { type: local.candidateType, relayProtocol: local.relayProtocol ?? null } : null;
}

function within(limit, promise, reason) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(reason)), limit); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
