// What the browser counts, in the shape of the gateway's own statistics.

/**
 * Sum up an RTCStatsReport: `{timestamp, path, audio, video}`, each kind `{codec, rtt, rx, tx}` with times in ms,
 * null for a kind that is not there.
 */
export function summary(report) {
  const all = [...report.values()];
  return { timestamp: Date.now(), path: path(all, report), audio: ofKind(all, report, "audio"), video: ofKind(all, report, "video") };
}

function ofKind(all, report, kind) {
  const find = (type) => all.find((each) => each.type === type && each.kind === kind);
  const [received, sent, seen] = [find("inbound-rtp"), find("outbound-rtp"), find("remote-inbound-rtp")];
  if (received === undefined && sent === undefined) {
    return null;
  }
  return {
    codec: report.get((received ?? sent).codecId)?.mimeType?.split("/")[1] ?? null,
    rtt: milliseconds(seen?.roundTripTime),
    rx: {
      packets: received?.packetsReceived ?? 0, bytes: received?.bytesReceived ?? 0,
      lost: received?.packetsLost ?? 0, jitter: milliseconds(received?.jitter),
    },
    tx: {
      packets: sent?.packetsSent ?? 0, bytes: sent?.bytesSent ?? 0,
      lost: seen?.packetsLost ?? null, jitter: milliseconds(seen?.jitter),
    },
  };
}

function milliseconds(seconds) {
  return seconds === undefined ? null : Math.round(seconds * 1000);
}

function path(all, report) {
  const transport = all.find((each) => each.type === "transport");
  const pair = report.get(transport?.selectedCandidatePairId)
    ?? all.find((each) => each.type === "candidate-pair" && each.nominated && each.state === "succeeded");
  if (pair === undefined) {
    return null;
  }
  const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
  return {
    local: local?.candidateType ?? null, remote: remote?.candidateType ?? null,
    protocol: local?.relayProtocol ?? local?.protocol ?? null, rtt: milliseconds(pair.currentRoundTripTime),
    srtp: transport?.srtpCipher ?? null,
  };
}
