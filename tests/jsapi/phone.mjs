// The phone's page, used as a person uses it, in front of a gateway that is none.
// node phone.mjs '{"scenarios": [NAME, ...], "policy": CSP, "folder": PATH for pictures}'

import { contrasts, view } from "../browser/looks.mjs";
import { FakeGateway } from "./gateway.mjs";
import { until, withBrowser } from "./pages.mjs";

const { scenarios: chosen, policy = null, folder = null } = JSON.parse(process.argv[2] ?? "{}");

const scenarios = {
  /** Everything that two people do in a call; what is shown at each step. */
  async call({ open, gateway }) {
    const [a, b] = [await open("1001"), await open("1002")];
    await dial(a, "1002");
    await b.waitForSelector("#ringing:not([hidden])");
    const ringing = await shown(b);
    await b.click("#accept");
    await Promise.all([connected(a), connected(b)]);
    await b.bringToFront();
    await b.waitForFunction(() => document.getElementById("remote-level").value > 0.3);
    await a.click("#hold");
    await says(b, "#call-state", "The other side holds the call.");
    const held = await shown(a);
    await a.click("#hold");
    await connected(b);
    await a.click("#mute");
    const muted = await a.textContent("#mute");
    await b.waitForTimeout(500);
    const silence = await b.evaluate(loudest);
    await a.click("#mute");
    await a.click("#video");
    await b.waitForFunction(() => document.getElementById("remote-video").videoWidth > 0);
    await a.click("#video");
    await says(a, "#video", "Send video");
    await a.click("#show-keypad");
    await a.focus("#keypad button");
    await a.keyboard.type("42#");
    const digits = await a.textContent("#digits");
    await a.click("#show-data");
    await a.fill("#data-value", "grüß & so");
    await a.click("#data [value=peer]");
    await b.waitForFunction(() => document.getElementById("data-log").children.length === 1);
    const data = await b.textContent("#data-log li");
    await a.fill("#data-value", "1");
    await a.click("#data [value=server]");
    await until(() => gateway.posted("1001").some((text) => text.startsWith("INFO-MAP")));
    await a.click("#show-numbers");
    await a.waitForFunction(() => document.getElementById("numbers-body").rows.length > 5);
    const numbers = await a.locator("#numbers-body tr").first().allTextContents();
    const time = await a.textContent("#call-time");
    await b.click("#hang-up");
    await says(a, "#news", "The other side hung up. Signed in as 1001. Calls to you ring here.");
    const ends = [await shown(a), await shown(b)];
    return { ringing, held, muted, silence, digits, data, numbers, time, ends };
  },

  async videoCall({ open }) {
    const [a, b] = [await open("1001"), await open("1002")];
    await a.fill("#to", "1002");
    await a.click("#dial-video");
    await b.click("#accept-video");
    for (const page of [a, b]) {
      await page.waitForFunction(() => document.getElementById("remote-video").videoWidth > 0 && document.getElementById("own-video").videoWidth > 0);
    }
    await a.click("#hang-up");
    await b.waitForFunction(() => document.getElementById("call").hidden);
    return [await shown(a), await shown(b)];
  },

  /** Without a mouse: what is focused is always what comes next. */
  async keyboard({ open }) {
    const [a, b] = [await open(null), await open("1002")];
    const focused = () => a.evaluate(() => document.activeElement.id || document.activeElement.textContent);
    const order = [];
    await a.focus("#dn");
    await a.keyboard.type("1001");
    await a.keyboard.press("Enter");
    await a.waitForSelector("body.signed-in");
    order.push(await focused());
    await a.keyboard.press("Enter");
    await a.waitForFunction(() => document.getElementById("media-level").hidden === false);
    await a.focus("#to");
    await a.keyboard.type("1002");
    await a.keyboard.press("Enter");
    await b.waitForSelector("#ringing:not([hidden])");
    order.push(await b.evaluate(() => document.activeElement.id));
    await b.keyboard.press("Tab");
    order.push(await b.evaluate(() => document.activeElement.id));
    await b.keyboard.press("Enter");
    await connected(a);
    order.push(await focused());
    await a.keyboard.press("Enter");
    for (let tabs = 0; await focused() !== "hang-up" && tabs < 12; tabs += 1) {
      await a.keyboard.press("Tab");
    }
    order.push(await focused());
    await a.keyboard.press("Enter");
    await a.waitForFunction(() => document.getElementById("call").hidden);
    order.push(await focused());
    return order;
  },

  async refusals({ open, gateway }) {
    gateway.refuses.add("1009");
    const page = await open(null);
    const trouble = async (act) => {
      await page.evaluate(() => { document.getElementById("trouble").hidden = true; });
      await act();
      await page.waitForSelector("#trouble:not([hidden])");
      return page.textContent("#trouble");
    };
    const signIn = (dn) => async () => {
      await page.fill("#dn", dn);
      await page.click("#sign-in-form [type=submit]");
    };
    const words = { empty: await trouble(signIn("")), refused: await trouble(signIn("1009")) };
    await page.click("#elsewhere summary");
    const gone = await new FakeGateway().listen();
    await gone.close();
    await page.fill("#gateway", gone.url);
    words.unreachable = await trouble(signIn("1001"));
    await page.fill("#gateway", "nonsense");
    words.nonsense = await trouble(signIn("1001"));
    await page.fill("#gateway", "");
    await signIn("1001")();
    await page.waitForSelector("body.signed-in");
    words.codec = await trouble(() => dial(page, "488"));
    words.busy = await trouble(() => dial(page, "1555"));
    for (const name of ["NotAllowedError", "NotFoundError"]) {
      await page.evaluate((error) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", error)); }, name);
      words[name] = await trouble(() => page.click("#allow-audio"));
      words[`${name} in a call`] = await trouble(() => dial(page, "1002"));
    }
    return words;
  },

  /** The gateway is away for a while, and then knows nobody. */
  async lost({ open, gateway }) {
    const page = await open("1001");
    await until(() => gateway.of("1001").waiting !== null);
    gateway.faults.wait = () => 503;
    gateway.faults.sign_in = () => 503;
    gateway.of("1001").waiting.destroy();
    await page.waitForFunction(() => document.getElementById("news").textContent.startsWith("The gateway cannot be reached"));
    const disabled = await page.isDisabled("#dial-audio");
    gateway.sessions.clear();
    gateway.faults = {};
    await says(page, "#news", "Signed in as 1001. Calls to you ring here.");
    return { disabled, again: gateway.of("1001") !== null, trouble: await page.isVisible("#trouble") };
  },

  async insecure({ open }) {
    const page = await open(null, () => {
      Object.defineProperty(window, "isSecureContext", { value: false });
      Object.defineProperty(navigator, "mediaDevices", { value: undefined });
    });
    const words = await page.textContent("#trouble");
    await page.click("#allow-audio");
    return [words, await page.textContent("#trouble")];
  },

  /** Sizes, contrasts and names in the states of the page, by day and by night, on a desk and on a small phone. */
  async looks({ open, browser }) {
    const found = [];
    for (const [label, wish] of [["desk", {}], ["desk-dark", { dark: true }], ["phone", { phone: true }], ["phone-dark", { phone: true, dark: true }]]) {
      const context = await browser.newContext({ ...view(wish), ...(wish.phone && { viewport: { width: 360, height: 780 } }) });
      let step = 0;
      const look = async (page) => {
        const state = `${label}-${step++}`;
        await page.waitForTimeout(150);
        const seen = await page.evaluate(contrasts);
        found.push({ state, ...await page.evaluate(measured), texts: seen.length, faint: seen.filter(([, ratio]) => ratio < 4.5) });
        if (folder) {
          await page.screenshot({ path: `${folder}/${state}.png`, fullPage: true });
        }
      };
      const a = await open(null, null, context);
      await look(a);
      await a.click("#elsewhere summary");
      await look(a);
      await signIn(a, "1001");
      await a.click("#allow-video");
      await a.waitForSelector("#close-media:not([hidden])");
      await look(a);
      const b = await open("1002");
      await dial(b, "1001", true);
      await a.waitForSelector("#ringing:not([hidden])");
      await look(a);
      await a.click("#accept-video");
      await connected(a);
      await a.waitForFunction(() => document.getElementById("remote-video").videoWidth > 0);
      for (const panel of ["#show-keypad", "#show-data", "#show-numbers"]) {
        await a.click(panel);
        await a.waitForTimeout(panel === "#show-numbers" ? 1200 : 0);
        await look(a);
      }
      await b.click("#hold");
      await says(a, "#call-state", "The other side holds the call.");
      await look(a);
      await b.click("#hang-up");
      await dial(a, "488");
      await a.waitForSelector("#trouble:not([hidden])");
      await a.click("#log-title");
      await look(a);
      await context.close();
      await b.close();
    }
    return found;
  },
};

// These run in the page.

// More than one beep of the fake microphone long.
async function loudest() {
  let level = 0;
  for (let look = 0; look < 50; look += 1) {
    level = Math.max(level, document.getElementById("remote-level").value);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return level;
}

function measured() {
  const seen = (element) => element.getClientRects().length > 0;
  const named = (element) => element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.labels?.length || element.textContent.trim();
  return {
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    small: [...document.querySelectorAll("button")].filter((each) => seen(each) && each.getBoundingClientRect().height < 40).map((each) => each.textContent),
    unnamed: [...document.querySelectorAll("input, button, select, video, meter")].filter((each) => seen(each) && !named(each)).map((each) => each.outerHTML),
    live: [...document.querySelectorAll("[role=status], [role=alert]")].map((each) => each.id),
  };
}

// And these here.

async function shown(page) {
  return { news: await page.textContent("#news"), trouble: await page.isVisible("#trouble") ? await page.textContent("#trouble") : "", title: await page.title() };
}

function says(page, selector, text) {
  return page.waitForFunction(([where, what]) => document.querySelector(where).textContent === what, [selector, text]);
}

function connected(page) {
  return says(page, "#call-state", "Connected.");
}

async function dial(page, to, video = false) {
  await page.fill("#to", to);
  await page.click(video ? "#dial-video" : "#dial-audio");
}

async function signIn(page, dn) {
  await page.fill("#dn", dn);
  await page.click("#sign-in-form [type=submit]");
  await page.waitForSelector("body.signed-in");
}

async function played(browser, scenario) {
  const gateway = await new FakeGateway().listen();
  gateway.policy = policy;
  const context = await browser.newContext();
  const complaints = [];
  const open = async (dn, before = null, where = context) => {
    const page = await where.newPage();
    page.setDefaultTimeout(15000);
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
    if (before) {
      await page.addInitScript(before);
    }
    await page.goto(`${gateway.url}/phone`);
    await page.waitForSelector("body[data-ready]");
    if (dn !== null) {
      await signIn(page, dn);
    }
    return page;
  };
  try {
    return { result: await scenario({ open, gateway, browser }), complaints };
  } catch (error) {
    return { error: String(error), complaints };
  } finally {
    await context.close();
    await gateway.close();
  }
}

await withBrowser(async (browser) => {
  const answer = {};
  for (const name of chosen ?? Object.keys(scenarios)) {
    answer[name] = await played(browser, scenarios[name]);
  }
  return answer;
});
