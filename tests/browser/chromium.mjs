// Starts the system's Chromium for a test and watches what it must not do.

import { chromium } from "playwright-core";

export const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream", "--allow-loopback-in-peer-connection",
  "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/**
 * Opens `url` and hands the page to `work`; what `work` returns is printed as JSON, together with
 * every request to another origin, every error of the console and every exception in the page.
 * Certificates are checked: a test that needs an own authority puts it in $HOME/.pki/nssdb.
 * The page is ready once it has a `ready`.
 */
export async function withPage(url, options, work, ready = "fieldset.server") {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    env: process.env,
  });
  const complaints = [];
  try {
    const context = await browser.newContext({ ...options, serviceWorkers: "block" });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        complaints.push(`console: ${message.text()}`);
      }
    });
    page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) {
        complaints.push(`request: ${request.url()}`);
      }
    });
    await page.goto(url);
    await page.waitForFunction((selector) => document.querySelector(selector) !== null, ready);
    const answer = await work(page);
    console.log(JSON.stringify({ ...answer, complaints }));
  } finally {
    await browser.close();
  }
}

/** Reads the cards of a list: {udp: {status, headline, advice}, ...}. */
export function cards(page, list) {
  return page.evaluate((id) => {
    const answer = {};
    for (const card of document.querySelectorAll(`#${id} > li`)) {
      answer[card.id.replace(`${id}-`, "")] = {
        status: card.dataset.status,
        headline: card.querySelector(".headline").textContent,
        advice: card.querySelector(".advice").textContent,
      };
    }
    return answer;
  }, list);
}

/** Waits until the button that started a run can be pressed again. */
export function idle(page) {
  return page.waitForFunction(() => !document.getElementById("gather").disabled, null, { timeout: 60000 });
}
