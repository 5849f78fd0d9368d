// Debian's Chromium by playwright-core.

import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-background-timer-throttling",
  "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required", "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/** Whoever may use a microphone, or has this switched off, shows his addresses to pages. */
const REVEALING = ["--use-fake-ui-for-media-stream", "--disable-features=WebRtcHideLocalIpsWithMdns"];

/**
 * `home` has the NSS database of the authorities that are trusted; `flags` are added to ours; `hidden` is one that
 * shows no page its addresses.
 */
export async function launchChromium({ home, flags = [], hidden = false }) {
  const own = hidden ? FLAGS.filter((flag) => !REVEALING.includes(flag)) : FLAGS;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...own, ...flags],
    env: { ...process.env, HOME: home },
  });
  return {
    async open(url, scripts, { width = 1180, height = 900 }) {
      const context = await browser.newContext({ viewport: { width, height }, serviceWorkers: "block" });
      const page = await context.newPage();
      const complaints = [];
      page.on("console", (message) => {
        if (message.type() === "error") {
          complaints.push(`console: ${message.text()} ${message.location().url}`);
        }
      });
      page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
      for (const content of scripts) {
        await page.addInitScript({ content });
      }
      await goTo(page, url);
      return {
        complaints,
        evaluate: (text, argument) => page.evaluate(`(${text})(${JSON.stringify(argument ?? null)})`),
        click: (selector) => page.click(selector),
        fill: (selector, text) => page.fill(selector, text),
        reload: () => page.reload(),
        screenshot: (path) => page.screenshot({ path, fullPage: true }),
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
    async crash() {
      const session = await browser.newBrowserCDPSession();
      const gone = new Promise((resolve) => { browser.on("disconnected", resolve); });
      session.send("Browser.crash").catch(() => {});
      await gone;
    },
  };
}

// A scenario before may have changed the desk's address. Chromium notices within seconds, and ends
// whatever it is loading then.
async function goTo(page, url) {
  try {
    await page.goto(url);
  } catch (error) {
    if (!error.message.includes("ERR_NETWORK_CHANGED")) {
      throw error;
    }
    await page.goto(url);
  }
}
