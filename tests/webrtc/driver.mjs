// Browsers by order: JSON lines in, JSON lines out, in whatever order things get done.
// {"id": 1, "do": "launch", ...} is answered with {"id": 1, "value": ...} or {"id": 1, "error": TEXT}.
//
// It also serves the folder pages/ at http://localhost:PORT, which browsers hold to be secure.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { createInterface } from "node:readline";

import { bundled } from "../browser/commonjs.mjs";
import { launchChromium } from "./chromium.mjs";
import { launchFirefox } from "./firefox.mjs";

const KINDS = { ".html": "text/html", ".js": "text/javascript", ".pac": "application/x-ns-proxy-autoconfig" };
const LAUNCH = { chromium: launchChromium, firefox: launchFirefox };
const browsers = new Map();
const pages = new Map();
const served = new Map();
let last = 0;

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const kind = KINDS[extname(path)] ?? "application/octet-stream";
  try {
    const body = served.get(path) ?? await readFile(new URL(path.startsWith("/jsapi/") ? `../../suite${path}` : `pages${path}`, import.meta.url));
    response.writeHead(200, { "content-type": kind, "cache-control": "no-store" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});

const ORDERS = {
  /** Starts a browser; gives its number. */
  async launch({ kind, ...options }) {
    browsers.set(++last, await LAUNCH[kind](options));
    return last;
  },
  /** Opens a page for somebody who shares nothing with the browser's other users; gives its number. */
  async open({ browser, url, rig, width, height }) {
    const scripts = rig === undefined ? [] : [await rigScript(rig)];
    const page = await browsers.get(browser).open(url, scripts, { width, height });
    pages.set(++last, page);
    return last;
  },
  /** Calls a function, given as text, in the page. */
  evaluate({ page, text, argument }) {
    return pages.get(page).evaluate(text, argument);
  },
  /** Puts what an npm package exports into the page's globalThis. */
  async load({ page, name }) {
    await pages.get(page).evaluate(`() => { ${bundled(name)} }`);
  },
  async press({ page, selector }) {
    await pages.get(page).click(selector);
  },
  async type({ page, selector, text }) {
    await pages.get(page).fill(selector, text);
  },
  async reload({ page }) {
    await pages.get(page).reload();
  },
  async screenshot({ page, path }) {
    await pages.get(page).screenshot(path);
  },
  /** Errors of the console and exceptions since the last time. */
  complaints({ page }) {
    return pages.get(page).complaints.splice(0);
  },
  /** As a user closes a tab: nobody is asked. */
  async shut({ page }) {
    await pages.get(page).close();
    pages.delete(page);
  },
  async quit({ browser }) {
    await browsers.get(browser).close();
    browsers.delete(browser);
  },
  /** As a crash: nothing is said to anybody. */
  async crash({ browser }) {
    await browsers.get(browser).crash();
    browsers.delete(browser);
  },
  /** Serves a text at a path. */
  serve({ path, text }) {
    served.set(path, text);
  },
};

/** The rig, told what this page's user is like before anything else runs. */
async function rigScript(rig) {
  const text = await readFile(new URL("pages/rig.js", import.meta.url), "utf8");
  return `(() => { const wishes = ${JSON.stringify(rig)};\n${text}\n})();`;
}

async function obey({ id, do: order, ...wishes }) {
  try {
    say({ id, value: (await ORDERS[order](wishes)) ?? null });
  } catch (error) {
    say({ id, error: error.stack ?? String(error) });
  }
}

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

server.listen(0, "localhost", () => say({ id: 0, value: server.address().port }));
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => { obey(JSON.parse(line)); });
lines.on("close", async () => {
  await Promise.allSettled([...browsers.values()].map((browser) => browser.close()));
  process.exit(0);
});
