// Presses "Gather candidates" and tells what the page shows.
// node gather.mjs URL '{"screenshot": PATH, "phone": bool, "dark": bool, "both": bool,
//                       "username": TEXT, "password": TEXT}'

import { cards, idle, withPage } from "./chromium.mjs";

const [url, wishes = "{}"] = process.argv.slice(2);
const { screenshot, phone, dark, both, username, password } = JSON.parse(wishes);

const options = {
  viewport: phone ? { width: 390, height: 844 } : { width: 1180, height: 900 },
  deviceScaleFactor: phone ? 2 : 1,
  isMobile: Boolean(phone),
  hasTouch: Boolean(phone),
  colorScheme: dark ? "dark" : "light",
};

await withPage(url, options, async (page) => {
  const buttonBottom = await page.evaluate(() => document.getElementById("flow").getBoundingClientRect().bottom);
  for (const [name, value] of Object.entries({ username, password })) {
    for (const field of value === undefined ? [] : await page.locator(`input[name=${name}]:visible`).all()) {
      await field.fill(value);
    }
  }
  const servers = await page.locator("input[name=url]").evaluateAll((fields) => fields.map((field) => field.value));
  await page.click("#gather");
  await idle(page);
  if (both) {
    await page.click("#flow");
    await idle(page);
  }
  if (screenshot) {
    await page.screenshot({ path: screenshot, fullPage: true });
  }
  return {
    servers,
    buttonBottom,
    contrasts: await page.evaluate(contrasts),
    unnamed: await page.evaluate(unnamed),
    verdicts: await cards(page, "verdicts"),
    note: await page.textContent("#servers-note"),
    flows: await cards(page, "flows"),
    progress: await page.textContent("#progress"),
    candidates: await page.locator("#candidates tbody tr").evaluateAll(
      (lines) => lines.map((line) => [...line.cells].map((cell) => cell.textContent)),
    ),
    errors: await page.locator("#errors li").allTextContents(),
    overflow: await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  };
});

// The contrast (WCAG 2, 1.4.3) of every visible piece of text with the colour behind it.
function contrasts() {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const opaque = (parts(colour)[3] ?? 1) === 1;
    return opaque || element.parentElement === null ? colour : behind(element.parentElement);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = element.value ?? [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("").trim();
    if (text !== "" && typeof text === "string" && element.getClientRects().length > 0) {
      const [low, high] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => a - b);
      found.push([text, (high + 0.05) / (low + 0.05)]);
    }
  }
  return found;
}

// Fields and buttons that a screen reader could not name, and missing landmarks or announcements.
function unnamed() {
  const lacking = [...document.querySelectorAll("input, button, summary")]
    .filter((element) => !(element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim()))
    .map((element) => element.outerHTML);
  for (const needed of ["main", "h1", "html[lang]", "#progress[role=status]", "#candidates th[scope=col]"]) {
    if (document.querySelector(needed) === null) {
      lacking.push(needed);
    }
  }
  return lacking;
}
