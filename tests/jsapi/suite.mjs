// The phone's page of a real suite: its own numbers, and calls between two DNs.
// node suite.mjs URL

import { withBrowser } from "./pages.mjs";

const url = process.argv[2];

async function open(context, dn) {
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  await page.goto(`${url}/phone`);
  await page.waitForSelector("body[data-ready]");
  if (dn === null) {
    await page.click("#anon");
  } else {
    await page.fill("#dn", dn);
    await page.click("#sign-in-form [type=submit]");
  }
  await page.waitForSelector("body.signed-in");
  return page;
}

async function says(page, selector, text) {
  try {
    await page.waitForFunction(([where, what]) => document.querySelector(where).textContent === what, [selector, text]);
  } catch {
    throw new Error(`${selector} is to say "${text}", and says "${await page.textContent(selector)}"`);
  }
}
const connected = (page) => says(page, "#call-state", "Connected.");
const over = (page) => page.waitForFunction(() => document.getElementById("call").hidden);
// The microphone's beep is short, and the level of a page behind others is looked at once a second only.
const sound = async (page) => {
  await page.bringToFront();
  await page.waitForFunction(() => document.getElementById("remote-level").value > 0.3);
};
const picture = (page) => page.waitForFunction(() => document.getElementById("remote-video").videoWidth > 0);

async function dial(page, to, video = false) {
  await page.fill("#to", to);
  await page.click(video ? "#dial-video" : "#dial-audio");
}

/** Call a number that answers by itself, hear it, read what the gateway counted, hang up. */
async function tried(page, number) {
  await dial(page, number);
  await connected(page);
  await sound(page);
  await page.click("#show-numbers");
  await page.waitForFunction(() => Number(document.querySelectorAll("#numbers-body td")[5]?.textContent) > 0);
  await page.click("#hang-up");
  await over(page);
  return "heard";
}

async function between(a, b) {
  await dial(a, "1002");
  await b.click("#accept");
  await Promise.all([connected(a), connected(b)]);
  await sound(a);
  await sound(b);
  await a.click("#hold");
  await says(b, "#call-state", "The other side holds the call.");
  await a.click("#hold");
  await connected(b);
  await sound(b);
  await b.click("#hold");
  await says(a, "#call-state", "The other side holds the call.");
  await b.click("#hold");
  await connected(a);
  await a.click("#show-data");
  await a.fill("#data-value", "a & b");
  await a.click("#data [value=peer]");
  await b.waitForFunction(() => document.getElementById("data-log").children.length > 0);
  const data = await b.textContent("#data-log li");
  await a.click("#video");
  await picture(b);
  await b.click("#video");
  await picture(a);
  await b.click("#hang-up");
  await over(a);
  return { data, news: await a.textContent("#news") };
}

async function withVideo(a, b) {
  await dial(a, "1002", true);
  await b.click("#accept-video");
  await Promise.all([picture(a), picture(b)]);
  await a.click("#hang-up");
  await over(b);
  return b.textContent("#news");
}

async function rejected(a, b) {
  await dial(a, "1002");
  await b.click("#reject");
  await a.waitForSelector("#trouble:not([hidden])");
  return a.textContent("#trouble");
}

async function nobody(a) {
  await dial(a, "1555");
  await says(a, "#trouble", "There is no 1555 (404). Check the number.");
  return a.textContent("#trouble");
}

await withBrowser(async (browser) => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const [a, b] = [await open(context, "1001"), await open(context, "1002")];
  const numbers = await a.locator("#numbers-known b").allTextContents();
  const answer = { numbers };
  for (const number of [...numbers, "1999"]) {
    answer[number] = await tried(a, number);
  }
  answer.between = await between(a, b);
  answer.withVideo = await withVideo(a, b);
  answer.rejected = await rejected(a, b);
  answer.nobody = await nobody(a);
  const anonymous = await open(context, null);
  answer.anonymous = await tried(anonymous, "self");
  return answer;
});
