// Debian's Firefox by puppeteer-core over WebDriver BiDi.

import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import puppeteer from "puppeteer-core";

const PREFERENCES = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.getusermedia.insecure.enabled": true,
  "media.devices.insecure.enabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "media.autoplay.block-webaudio": false,
  "media.gmp-provider.enabled": false,
  "media.gmp-manager.updateEnabled": false,
  "toolkit.telemetry.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "app.normandy.enabled": false,
  "app.update.auto": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.safebrowsing.downloads.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.prefetch-next": false,
  "services.settings.server": "data:,",
};

/** `home` has an NSS database of trusted authorities, which the browser's profile gets a copy of. */
export async function launchFirefox({ home, preferences = {}, environment = {} }) {
  const profile = mkdtempSync(join(home, "firefox-"));
  const trusted = join(home, ".pki", "nssdb");
  if (existsSync(trusted)) {
    cpSync(trusted, profile, { recursive: true });
  }
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    userDataDir: profile,
    extraPrefsFirefox: { ...PREFERENCES, ...preferences },
    env: { ...process.env, HOME: home, ...environment },
  });
  return {
    async open(url, scripts, { width = 1180, height = 900 }) {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      await page.setViewport({ width, height });
      const complaints = [];
      page.on("console", (message) => {
        if (message.type() === "error") {
          complaints.push(`console: ${message.text()}`);
        }
      });
      page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
      for (const script of scripts) {
        await page.evaluateOnNewDocument(script);
      }
      await page.goto(url);
      return {
        complaints,
        evaluate: (text, argument) => page.evaluate(`(${text})(${JSON.stringify(argument ?? null)})`),
        click: (selector) => page.click(selector),
        fill: (selector, text) => page.locator(selector).fill(text),
        reload: () => page.reload(),
        screenshot: (path) => page.screenshot({ path, fullPage: true }),
        close: () => context.close(),
      };
    },
    async close() {
      await browser.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
