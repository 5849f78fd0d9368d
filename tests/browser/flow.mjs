// Presses "Send data through the relay" and tells what the page shows, and what the page's own
// module measured for each relay.
// node flow.mjs URL

import { cards, idle, withPage } from "./chromium.mjs";

await withPage(process.argv[2], {}, async (page) => {
  await page.click("#flow");
  await idle(page);
  const flows = await cards(page, "flows");
  const measured = await page.evaluate(async () => {
    const { sendData } = await import("/static/flow.js");
    const offer = await (await fetch("/api/ice-servers")).json();
    const answer = {};
    for (const server of offer.iceServers.filter(({ urls }) => urls.startsWith("turn"))) {
      answer[server.urls] = await sendData([server]);
    }
    return answer;
  });
  return { flows, measured, errors: await page.locator("#errors li").allTextContents() };
});
