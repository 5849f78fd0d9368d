// Two pages of one Chromium, each with the library, and what is asked of them.

import { chromium } from "playwright-core";
import { FLAGS } from "../browser/chromium.mjs";

/** Opens Chromium, hands it to `work` and prints what that returns as JSON. */
export async function withBrowser(work) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS, env: process.env,
  });
  try {
    console.log(JSON.stringify(await work(browser)));
  } finally {
    await browser.close();
  }
}

/** Waits for something here, outside the pages. */
export async function until(condition, milliseconds = 15000) {
  for (const end = Date.now() + milliseconds; !condition();) {
    if (Date.now() > end) {
      throw new Error(`never: ${condition}`);
    }
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

/** A blank page with the module as `grtc`, and what it complains of in `complaints`. */
export async function modulePage(context, gateway, complaints = []) {
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  await page.goto(`${gateway.url}/blank`);
  await page.evaluate(async () => { globalThis.grtc = await import("/jsapi/grtc.mjs"); });
  await page.evaluate(listening);
  return page;
}

/** A blank page with jQuery and the classic script, as an existing application has them. */
export async function classicPage(context, gateway, complaints = []) {
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  await page.goto(`${gateway.url}/blank`);
  await page.addScriptTag({ url: "/jquery.js" });
  await page.addScriptTag({ url: "/jsapi/grtc.js" });
  await page.evaluate(listening);
  return page;
}

// Puts what the tests use into the page; runs there.
function listening() {
  globalThis.events = [];
  const context = new AudioContext();
  /** How loud a stream is within some time: 0 to 1. */
  globalThis.loudness = async (stream, milliseconds = 1500) => {
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const element = new Audio();
    element.srcObject = stream;
    element.muted = true;
    element.play().catch(() => {});
    const samples = new Float32Array(analyser.fftSize);
    let loudest = 0;
    for (const end = Date.now() + milliseconds; Date.now() < end;) {
      analyser.getFloatTimeDomainData(samples);
      loudest = Math.max(loudest, ...samples.map(Math.abs));
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    return loudest;
  };
  globalThis.until = async (condition, milliseconds = 10000) => {
    for (const end = Date.now() + milliseconds; !await condition();) {
      if (Date.now() > end) {
        throw new Error(`never: ${condition}`);
      }
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
  };
}
