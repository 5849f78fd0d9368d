// Uses the lab's page as a person would and tells what it shows.
// node lab.mjs URL '{"screenshot": PATH, "phone": bool, "dark": bool, "press": [NAME, ...],
//                    "command": TEXT, "ladder": NAME}'

import { withPage } from "./chromium.mjs";
import { contrasts, view } from "./looks.mjs";

const [url, wishes = "{}"] = process.argv.slice(2);
const { screenshot, phone, dark, press = [], command, ladder } = JSON.parse(wishes);

await withPage(url, view({ phone, dark }), async (page) => {
  const said = () => page.textContent("#said");
  await page.waitForSelector("#ladder svg");
  const heard = [];
  for (const name of press) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.waitForFunction(() => document.getElementById("said").dataset.status !== "waiting");
    heard.push(await said());
  }
  if (command !== undefined) {
    await page.fill("#command", command);
    await page.press("#command", "Enter");
    await page.waitForFunction(() => (document.getElementById("said").dataset.status ?? "waiting") !== "waiting");
    heard.push(await said());
  }
  if (ladder !== undefined) {
    await page.selectOption("#ladder-choice", ladder);
    await page.waitForFunction((name) => document.getElementById("ladder-link").getAttribute("href").endsWith(`/${name}.svg`), ladder);
  }
  const steady = await page.evaluate(changes);
  if (screenshot) {
    await page.screenshot({ path: screenshot, fullPage: true });
  }
  return {
    heard,
    steady,
    news: await page.textContent("#news"),
    servers: await page.locator("#servers > li").evaluateAll((cards) => cards.map((card) => ({
      title: card.querySelector("[data-of=title]").textContent,
      state: card.querySelector("[data-of=state]").textContent,
      used: !card.querySelector("[data-of=badge]").hidden,
      status: card.dataset.status,
    }))),
    calls: await page.locator("#calls > li").evaluateAll((rows) => rows.map((row) => ({
      who: row.querySelector("[data-of=who]").textContent,
      keys: [...row.querySelectorAll(".keys button")].map((key) => key.textContent),
    }))),
    gateway: await page.textContent("#gateway-words"),
    registered: await page.locator("#registered tbody tr").evaluateAll(
      (lines) => lines.map((line) => [...line.cells].map((cell) => cell.textContent)),
    ),
    arrows: await page.locator("#ladder .arrow .label").allTextContents(),
    contrasts: await page.evaluate(contrasts),
    unnamed: await page.evaluate(unnamed),
    small: await page.evaluate(small),
    overflow: await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  };
}, "#servers > li");

// Nodes that come and go while the page looks twice at a lab that stands still.
async function changes() {
  const seen = [];
  const observer = new MutationObserver((records) => records.forEach((record) => {
    seen.push(...[...record.addedNodes, ...record.removedNodes].map((node) => node.nodeName));
  }));
  observer.observe(document.body, { childList: true, subtree: true });
  await new Promise((resolve) => { setTimeout(resolve, 2500); });
  observer.disconnect();
  return seen;
}

// What a screen reader could not name.
function unnamed() {
  return [...document.querySelectorAll("input, button, select, svg")]
    .filter((element) => element.closest("[hidden]") === null)
    .filter((element) => !(element.getAttribute("aria-label") || element.getAttribute("aria-labelledby")
      || element.labels?.length || element.textContent.trim()))
    .map((element) => element.outerHTML);
}

// Buttons that a thumb would miss (WCAG 2.2, 2.5.8, asks for 24 px; a phone's owner for more).
function small() {
  return [...document.querySelectorAll("button")]
    .filter((button) => button.getClientRects().length > 0 && button.getBoundingClientRect().height < 40)
    .map((button) => button.textContent);
}
