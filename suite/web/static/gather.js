// Candidate gathering: one RTCPeerConnection for each server, so that every relay candidate and
// every failure belongs to one transport even in a browser that does not say which.

const LIMIT = 20000;

/**
 * Gathers with `iceServers` under `policy` ("relay" or "all") and resolves to
 * {relay, errors, refused, timedOut, elapsed}: the first relay candidate with its time or null.
 * `onCandidate(candidate, time)` and `onError(error)` are called as things come; times are
 * milliseconds since `started`.
 */
export function gather(iceServers, policy, { onCandidate = () => {}, onError = () => {}, started = performance.now(), limit = LIMIT } = {}) {
  return new Promise((resolve) => {
    const result = { relay: null, errors: [], refused: null, timedOut: false, elapsed: 0 };
    let connection = null;
    let timer = null;

    const finish = () => {
      clearTimeout(timer);
      connection?.close();
      result.elapsed = performance.now() - started;
      resolve(result);
    };
    const refuse = (error) => {
      result.refused = error.message;
      finish();
    };

    try {
      connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: policy });
    } catch (error) {
      refuse(error);
      return;
    }
    timer = setTimeout(() => {
      result.timedOut = true;
      finish();
    }, limit);

    connection.addEventListener("icecandidate", (event) => {
      const time = performance.now() - started;
      if (event.candidate === null) {
        finish();
      } else if (event.candidate.candidate !== "") {
        const candidate = describe(event.candidate);
        if (candidate.type === "relay" && result.relay === null) {
          result.relay = { ...candidate, time };
        }
        onCandidate(candidate, time);
      }
    });
    connection.addEventListener("icecandidateerror", (event) => {
      const error = { code: event.errorCode, text: event.errorText ?? "", url: event.url ?? "", address: event.address ?? "" };
      result.errors.push(error);
      onError(error);
    });

    connection.createDataChannel("check");
    connection.createOffer().then((offer) => connection.setLocalDescription(offer)).catch(refuse);
  });
}

/**
 * Gives the parts of a candidate. Browsers differ in which properties they fill, so the line
 * itself (RFC 8839, section 5.1) stands in for those that are missing.
 */
export function describe(candidate) {
  const words = candidate.candidate.replace(/^(a=)?candidate:/, "").split(" ");
  const after = (name) => {
    const at = words.indexOf(name, 6);
    return at < 0 ? null : words[at + 1];
  };
  return {
    type: candidate.type ?? after("typ") ?? "?",
    protocol: (candidate.protocol ?? words[2] ?? "?").toLowerCase(),
    relayProtocol: candidate.relayProtocol ?? null,
    address: (candidate.address ?? words[4] ?? "").replace(/^\[(.*)\]$/, "$1"),
    port: candidate.port ?? Number(words[5]),
    priority: candidate.priority ?? Number(words[3]),
    relatedAddress: candidate.relatedAddress ?? after("raddr"),
    relatedPort: candidate.relatedPort ?? after("rport"),
  };
}
