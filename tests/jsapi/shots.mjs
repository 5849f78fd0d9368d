// Takes pictures of the phone's page in its states: node shots.mjs FOLDER

import { FakeGateway } from "./gateway.mjs";
import { withBrowser } from "./pages.mjs";
import { view } from "../browser/looks.mjs";

const [folder] = process.argv.slice(2);
const gateway = await new FakeGateway().listen();
await withBrowser(async (browser) => {
  const complaints = [];
  for (const [label, wish] of [["desk", {}], ["desk-dark", { dark: true }], ["phone", { phone: true }], ["phone-dark", { phone: true, dark: true }]]) {
    const context = await browser.newContext(view(wish));
    const other = await browser.newContext();
    const open = async (where, dn) => {
      const page = await where.newPage();
      page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      await page.goto(`${gateway.url}/phone`);
      await page.waitForSelector("body[data-ready]");
      if (dn === "1001") { await page.screenshot({ path: `${folder}/${label}-0-start.png`, fullPage: true }); }
      await page.fill("#dn", dn);
      await page.click("#sign-in-form [type=submit]");
      await page.waitForSelector("body.signed-in");
      await page.click("#allow-video");
      await page.waitForSelector("#close-media:not([hidden])");
      return page;
    };
    const [a, b] = [await open(context, "1001"), await open(other, "1002")];
    await a.waitForTimeout(400);
    await a.screenshot({ path: `${folder}/${label}-1-ready.png`, fullPage: true });
    await b.fill("#to", "1001");
    await b.click("#dial-video");
    await a.waitForSelector("#ringing:not([hidden])");
    await a.screenshot({ path: `${folder}/${label}-2-ringing.png`, fullPage: true });
    await a.click("#accept-video");
    await a.waitForFunction(() => document.getElementById("call-state").textContent === "Connected.");
    await a.waitForTimeout(1200);
    await a.screenshot({ path: `${folder}/${label}-3-call.png`, fullPage: true });
    await a.click("#hold");
    await a.waitForFunction(() => document.getElementById("hold").textContent === "Resume");
    await a.click("#show-keypad");
    await a.screenshot({ path: `${folder}/${label}-4-hold-keypad.png`, fullPage: true });
    await a.click("#hold");
    await a.click("#show-numbers");
    await a.waitForTimeout(1500);
    await a.screenshot({ path: `${folder}/${label}-5-numbers.png`, fullPage: true });
    await a.click("#show-data");
    await a.fill("#data-value", "hello there");
    await a.click("#data [value=peer]");
    await a.waitForTimeout(300);
    await a.screenshot({ path: `${folder}/${label}-6-data.png`, fullPage: true });
    await b.click("#hang-up");
    await a.waitForSelector("#call[hidden]", { state: "attached" });
    await a.fill("#to", "488");
    await a.click("#dial-audio");
    await a.waitForSelector("#trouble:not([hidden])");
    await a.screenshot({ path: `${folder}/${label}-7-refused.png`, fullPage: true });
    await context.close();
    await other.close();
  }
  return { complaints };
});
await gateway.close();
