// A gateway that is none: it speaks the HTTP interface and carries SDP from one page to the other, unread.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";

const SUITE = new URL("../../suite/", import.meta.url);
const TYPES = { html: "text/html", css: "text/css", js: "text/javascript", mjs: "text/javascript", svg: "image/svg+xml" };
const FILES = [
  [/^\/jsapi\/([\w.]+)$/, "jsapi/"],
  [/^\/static\/([\w.]+)$/, "web/static/"],
  [/^\/(phone)$/, "web/static/"],
  [/^\/(jquery\.js)$/, "../node_modules/jquery/dist/"],
];

/**
 * A fake gateway. `received` has every message posted to it: {from, to, text}. Set `faults.wait` or `faults.message`
 * to a function (request) => status to have requests fail ("drop" and "silence" are no answers), and `refuses` to a set of names that may not sign in. With
 * `keepsBye` an ERROR comes alone.
 */
export class FakeGateway {
  constructor() {
    this.sessions = new Map();
    this.received = [];
    this.requests = [];
    this.faults = {};
    this.refuses = new Set();
    this.policy = null;
    this.iceServers = [];
    this.hold = false;
    this.held = [];
    this.keepsBye = false;
    this.count = 0;
    this.server = createServer((request, response) => this.#serve(request, response));
  }

  async listen(port = 0) {
    await new Promise((resolve) => { this.server.listen(port, "127.0.0.1", resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => { this.server.close(resolve); });
  }

  /** The session of a user who is signed in; null if none is. */
  of(user) {
    return [...this.sessions.values()].findLast((session) => session.user === user) ?? null;
  }

  /** Send a text to a user as from a peer. */
  tell(user, text, peer = "gateway") {
    const session = this.of(user);
    session.mailbox.push({ text, peer });
    this.#flush(session);
  }

  /** What a user posted, without what failed. */
  posted(user) {
    return this.received.filter(({ from }) => from === user).map(({ text }) => text);
  }

  async #serve(request, response) {
    const url = new URL(request.url, "http://gateway");
    const body = await text(request);
    this.requests.push(`${request.method} ${request.url}`);
    const kind = url.pathname.slice(1);
    const { origin } = request.headers;
    if (origin) {
      response.setHeader("Access-Control-Allow-Origin", origin);
      response.setHeader("Access-Control-Allow-Credentials", "true");
    }
    const fault = this.faults[kind]?.({ url, body, user: this.sessions.get(url.searchParams.get("id") ?? url.searchParams.get("from"))?.user });
    if (fault) {
      const silent = { drop: () => request.socket.destroy(), silence: () => {} };
      return fault in silent ? silent[fault]() : answer(response, fault, "No.");
    }
    if (kind === "api/ice-servers") {
      return this.#offer({ url, request, response });
    }
    const handlers = { sign_in: this.#signIn, wait: this.#wait, message: this.#message, sign_out: this.#signOut };
    return kind in handlers ? handlers[kind].call(this, { url, body, request, response }) : this.#file(url.pathname, response);
  }

  #signIn({ url, body, request, response }) {
    const [user, password] = request.method === "POST" ? body.split(/:(.*)/s) : [decodeURIComponent(url.search.slice(1)), undefined];
    if (this.refuses.has(user) || password === "wrong") {
      return answer(response, 403, "You may not sign in.");
    }
    const id = `${"0".repeat(24)}${(++this.count).toString(16).padStart(8, "0")}`;
    this.sessions.set(id, { id, user, password, mailbox: [], waiting: null });
    return answer(response, 200, `sid=${id}\nuser=${user}\n`);
  }

  #wait({ url, response }) {
    const session = this.sessions.get(url.searchParams.get("id"));
    if (!session) {
      return answer(response, 403, "No such session.");
    }
    session.waiting?.destroy();
    session.waiting = response;
    response.on("close", () => { session.waiting = session.waiting === response ? null : session.waiting; });
    return this.#flush(session);
  }

  #flush(session) {
    if (session.waiting && session.mailbox.length > 0) {
      const { text: content, peer } = session.mailbox.shift();
      session.waiting.setHeader("Pragma", peer);
      const { waiting } = session;
      session.waiting = null;
      answer(waiting, 200, content);
    }
  }

  #message({ url, body, response }) {
    const session = this.sessions.get(url.searchParams.get("from"));
    if (!session) {
      return answer(response, 403, "No such session.");
    }
    const message = { from: session.user, to: url.searchParams.get("to"), text: body };
    this.received.push(message);
    answer(response, 200, "");
    return this.hold ? this.held.push(message) : this.#relay(message);
  }

  /** Let go what was held back. */
  release() {
    this.hold = false;
    this.held.splice(0).forEach((message) => this.#relay(message));
  }

  #relay({ from, to, text: content }) {
    const peer = this.of(to);
    if (content === "GET-STATS") {
      this.tell(from, `PUT-STATS ${JSON.stringify({ timestamp: Date.now(), duration: 1000, audio: { rtt: 5 } })}`, to);
    } else if (!peer) {
      this.#nobody(from, to, content);
    } else if (content.startsWith("RSMP ")) {
      const prefix = JSON.parse(content.slice(5)).messageType === "OFFER" ? "SDP OFFER " : "ROAP ";
      this.tell(to, prefix + content.slice(5), from);
    } else if (content === "BYE" || content.startsWith("INFO-PEER")) {
      this.tell(to, content, from);
    }
  }

  #nobody(from, to, content) {
    if (content.includes('"OFFER"') && to === "488") {
      // As the real one: the reason first, then what ends the call in old clients too.
      const { offererSessionId, seq } = JSON.parse(content.slice(5));
      this.tell(from, `ROAP ${JSON.stringify({ messageType: "ERROR", offererSessionId, seq, errorType: "FAILED", reason: "488" })}`, to);
      if (!this.keepsBye) {
        this.tell(from, "BYE", to);
      }
    } else if (content.includes('"OFFER"') && to !== "nobody") {
      this.tell(from, "BYE", to);
    }
  }

  #signOut({ url, response }) {
    this.sessions.delete(url.searchParams.get("id"));
    answer(response, 200, "");
  }

  // Who is signed in has them, and so has a page of ours; a page of another site has none.
  #offer({ url, request, response }) {
    const session = this.sessions.get(url.searchParams.get("id"));
    if (!session && request.headers["sec-fetch-site"] !== "same-origin") {
      return answer(response, 403, "Only the check page itself may ask for this.");
    }
    return answer(response, 200, JSON.stringify({ iceServers: this.iceServers, credentials: "temporary", lifetime: 600 }), "application/json");
  }

  #file(path, response) {
    if (path === "/blank") {
      return answer(response, 200, '<!doctype html><title>blank</title><link rel="icon" href="data:,"><p id="ready">', "text/html");
    }
    const [pattern, folder] = FILES.find(([each]) => each.test(path)) ?? [];
    if (!pattern) {
      return answer(response, 404, "There is no such page here.");
    }
    const [, name] = pattern.exec(path);
    const file = name.includes(".") ? name : `${name}.html`;
    if (this.policy) {
      response.setHeader("Content-Security-Policy", this.policy);
    }
    return answer(response, 200, readFileSync(new URL(folder + file, SUITE)), TYPES[file.split(".").at(-1)]);
  }
}

function answer(response, status, content, type = "text/plain") {
  response.writeHead(status, { "Content-Type": `${type}; charset=utf-8` });
  response.end(content);
}

async function text(request) {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
