// The little that must be known of SDP: candidates, directions, bandwidth.

/** Cut a description into its session part and its media sections, each a list of lines. */
export function sections(sdp) {
  const parts = [[]];
  for (const line of sdp.split(/\r\n|\n|\r/).filter((each) => each !== "")) {
    if (line.startsWith("m=")) {
      parts.push([]);
    }
    parts.at(-1).push(line);
  }
  return parts;
}

function joined(parts) {
  return parts.flat().map((line) => `${line}\r\n`).join("");
}

function valueOf(section, attribute) {
  return section.find((line) => line.startsWith(`a=${attribute}:`))?.slice(attribute.length + 3) ?? null;
}

/** Take the candidates out of a description: `{sdp, candidates}`. The end is always there: they are complete. */
export function withoutCandidates(sdp) {
  const candidates = [];
  const [session, ...media] = sections(sdp);
  const rest = media.map((section, sdpMLineIndex) => section.filter((line) => {
    if (line.startsWith("a=candidate:")) {
      candidates.push({ sdpMLineIndex, sdpMid: valueOf(section, "mid"), candidate: line.slice(2) });
    }
    return !line.startsWith("a=candidate:") && line !== "a=end-of-candidates";
  }));
  return { sdp: joined([session, ...rest]), candidates };
}

/** How many candidates a description has. */
export function countCandidates(sdp) {
  return sdp.match(/^a=candidate:/gm)?.length ?? 0;
}

const CANDIDATE = /^candidate:\S+ \d+ \S+ \d+ \S+ \d+ typ [a-z]+( |$)/;

/**
 * The description of a message with its Candidates in it, where a browser cannot take them for those of an earlier
 * description. Entries may begin with "a=", end in a line break, or be empty (the end of candidates); the m-line's
 * index is believed, never its name, which old clients make up. What is no candidate is left out.
 */
export function completeSdp(message) {
  const [session, ...media] = sections(message.sdp);
  for (const each of Array.isArray(message.Candidates) ? message.Candidates : []) {
    const line = String(each?.candidate ?? "").trim().replace(/^a=/, "");
    const section = media[lineOf(each ?? {}, media)];
    if (section !== undefined && CANDIDATE.test(line) && !section.includes(`a=${line}`)) {
      section.push(`a=${line}`);
    }
  }
  return joined([session, ...media]);
}

function lineOf(candidate, media) {
  if (Number.isInteger(candidate.sdpMLineIndex)) {
    return candidate.sdpMLineIndex;
  }
  return Math.max(0, media.findIndex((section) => valueOf(section, "mid") === String(candidate.sdpMid)));
}

/** Whether a candidate's address is of IPv6. */
export function isIpv6({ candidate }) {
  return (candidate.split(" ")[4] ?? "").includes(":");
}

/** Drop IPv6 candidates, unless there are no others. */
export function preferIpv4(candidates) {
  const rest = candidates.filter((each) => !isIpv6(each));
  return rest.length > 0 ? rest : candidates;
}

/** Ask for at most so many kbit/s of video (b=AS). */
export function withVideoBandwidth(sdp, kbps) {
  const [session, ...media] = sections(sdp);
  const limited = media.map((section) => {
    if (!section[0].startsWith("m=video")) {
      return section;
    }
    const lines = section.filter((line) => !line.startsWith("b=AS:"));
    const after = lines.findLastIndex((line) => /^[mic]=/.test(line));
    return [...lines.slice(0, after + 1), `b=AS:${kbps}`, ...lines.slice(after + 1)];
  });
  return joined([session, ...limited]);
}

/** What each m-line is: `{kind, mid, direction}`, direction "none" for one that is refused. */
export function mediaLines(sdp) {
  const [session, ...media] = sections(sdp);
  const common = directionOf(session) ?? "sendrecv";
  return media.map((section) => {
    const [kind, port] = section[0].slice(2).split(" ");
    const refused = port === "0" && !section.includes("a=bundle-only");
    return { kind, mid: valueOf(section, "mid"), direction: refused ? "none" : directionOf(section) ?? common };
  });
}

function directionOf(section) {
  return section.find((line) => /^a=(sendrecv|sendonly|recvonly|inactive)$/.test(line))?.slice(2) ?? null;
}
