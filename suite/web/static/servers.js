// The servers of the form: what their addresses mean (RFC 7064, RFC 7065), and which checks they give.

export const TRANSPORTS = ["udp", "tcp", "tls"];

const URL_FORM = /^(stuns?|turns?):(\[[0-9a-f:.]+\]|[^:?[\]/\s]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i;

/** Takes an address apart, or gives {problem} with a sentence for the reader. */
export function parseUrl(text) {
  const match = URL_FORM.exec(text);
  if (match === null) {
    return { problem: `“${text}” is not a STUN or TURN address. Write it like turn:turn.example.net:443?transport=tcp` };
  }
  const scheme = match[1].toLowerCase();
  const secure = scheme.endsWith("s");
  const port = Number(match[3] ?? (secure ? 5349 : 3478));
  if (port < 1 || port > 65535) {
    return { problem: `The port in “${text}” is not between 1 and 65535.` };
  }
  const relay = scheme.startsWith("turn");
  return { url: text, relay, secure, host: match[2], port, transport: transportOf(secure, match[4]) };
}

// A browser speaks TLS over TCP for turns: whatever the transport parameter says.
function transportOf(secure, parameter) {
  if (secure) {
    return "tls";
  }
  return (parameter ?? "udp").toLowerCase();
}

/**
 * Sorts the rows of the form into one check for each relay and the STUN servers of the host check.
 * Rows: {url, username, password}. Empty rows are left out; problems are sentences.
 */
export function plan(rows) {
  const checks = [];
  const stun = [];
  const problems = [];
  for (const row of rows) {
    const url = row.url.trim();
    if (url === "") {
      continue;
    }
    const server = parseUrl(url);
    if (server.problem) {
      problems.push(server.problem);
    } else if (!server.relay) {
      stun.push({ urls: url });
    } else if (row.username === "" || row.password === "") {
      problems.push(`${url} needs a user name and a password: browsers refuse a relay without them.`);
    } else {
      checks.push({ server, iceServers: [{ urls: url, username: row.username, credential: row.password }] });
    }
  }
  return { checks, stun, problems };
}
