// Presses "Gather candidates" and tells what the page shows.
// node gather.mjs URL '{"screenshot": PATH, "phone": bool, "dark": bool, "both": bool,
//                       "username": TEXT, "password": TEXT}'

import { cards, idle, withPage } from "./chromium.mjs";
import { contrasts, view } from "./looks.mjs";

const [url, wishes = "{}"] = process.argv.slice(2);
const { screenshot, phone, dark, both, username, password } = JSON.parse(wishes);

await withPage(url, view({ phone, dark }), async (page) => {
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
