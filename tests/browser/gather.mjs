// Presses "Gather candidates" and tells what the page shows.
// node gather.mjs URL '{"screenshot": PATH, "phone": bool, "dark": bool, "password": TEXT, "both": bool}'

import { cards, idle, withPage } from "./chromium.mjs";

const [url, wishes = "{}"] = process.argv.slice(2);
const { screenshot, phone, dark, password, both } = JSON.parse(wishes);

const options = {
  viewport: phone ? { width: 390, height: 844 } : { width: 1180, height: 900 },
  deviceScaleFactor: phone ? 2 : 1,
  isMobile: Boolean(phone),
  hasTouch: Boolean(phone),
  colorScheme: dark ? "dark" : "light",
};

await withPage(url, options, async (page) => {
  if (password !== undefined) {
    for (const field of await page.locator("input[name=password]:visible").all()) {
      await field.fill(password);
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
