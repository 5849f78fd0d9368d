// The lab's page: asks once a second how the lab is, shows it, and sends what a person presses.

import { keep, parts, say, show } from "./labdom.js";
import { MARKS, callKeys, chosenLadder, dnsWords, duration, fare, gatewayWords, heldWords, isOver, news, stateWords } from "./labwords.js";

const PERIOD = 1000;
const PATIENCE = 5000;
const MOST_ROWS = 50;

const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
const copy = (id) => byId(id).content.firstElementChild.cloneNode(true);

// Commands

async function command(words) {
  const said = byId("said");
  say(said, `${words.join(" ")} …`);
  said.dataset.status = "waiting";
  let text;
  try {
    const response = await fetch("/api/lab/command", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ words }),
    });
    const answer = await response.json();
    said.dataset.status = response.ok ? "works" : "fails";
    text = answer.text ?? answer.error;
  } catch (error) {
    said.dataset.status = "fails";
    text = `The suite did not take it: ${error.message}`;
  }
  const body = text.includes("\n") ? make("pre", { textContent: text }) : make("span", { textContent: text });
  said.replaceChildren(body);
  await look();
}

function addKey(keys, label, words, name, look = "") {
  const key = make("button", { type: "button", textContent: label, className: look });
  key.setAttribute("aria-label", name);
  key.addEventListener("click", () => { void command(words); });
  keys.append(key);
  return key;
}

function onSubmit(form, words) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = words();
    if (given.length > 0) {
      void command(given);
    }
  });
}

// SIP Servers and the name server

function serverCard({ name }) {
  const card = copy("server-card");
  const keys = card.querySelector(".keys");
  keys.setAttribute("aria-label", `SIP Server ${name}`);
  for (const [label, ...words] of [
    ["Kill", "kill", name], ["Freeze", "freeze", name], ["Slow 5 s", "slow", name, "5s"],
    ["503", "503", name], ["Reset", "reset", name], ["Revive", "revive", name],
  ]) {
    addKey(keys, label, words, `${label} server ${name}`, words[0]);
  }
  return card;
}

function fillServer(card, server) {
  const { title, badge, state, numbers } = parts(card);
  say(title, `SIP Server ${server.name}`);
  show(badge, server.active);
  say(state, stateWords(server.state));
  say(numbers, `${server.address}\n${server.registered} registered here, ${server.transactions} requests`);
  mark(card, fare(server.state));
  card.querySelector(".revive").classList.toggle("primary", server.state !== "up");
}

function nameServerCard() {
  const card = copy("server-card");
  const keys = card.querySelector(".keys");
  keys.setAttribute("aria-label", "Name server");
  addKey(keys, "Off", ["dns", "off"], "Name server off");
  addKey(keys, "On", ["dns", "on"], "Name server on", "on");
  return card;
}

function fillNameServer(card, dns) {
  const { title, state, numbers } = parts(card);
  say(title, "Name server (DNS)");
  say(state, dns.on ? "On: answers." : "Off: answers nothing.");
  say(numbers, `${dns.address}\n${dns.name}, ${dns.queries} queries`);
  mark(card, dns.on ? "works" : "fails");
  card.querySelector(".on").classList.toggle("primary", !dns.on);
}

function mark(card, status) {
  card.dataset.status = status;
  say(card.querySelector(".mark"), MARKS[status]);
}

function showServers({ servers, dns }) {
  const items = [...servers, { ...dns, isDns: true }];
  keep(
    byId("servers"), items, (item) => (item.isDns ? "dns" : `server ${item.name}`),
    (item) => (item.isDns ? nameServerCard() : serverCard(item)),
    (card, item) => (item.isDns ? fillNameServer(card, item) : fillServer(card, item)),
  );
}

// Calls

function callRow(call) {
  const row = copy("call-row");
  const form = row.querySelector("form");
  const target = form.querySelector("input");
  target.setAttribute("aria-label", `Transfer ${call.id} to`);
  onSubmit(form, () => ["transfer", call.id, target.value.trim()]);
  return row;
}

function fillCall(row, call) {
  const { who, state, where } = parts(row);
  say(who, `${call.id}: ${call.caller} → ${call.callee}`);
  say(state, `${call.state}, ${duration(call.since)}`);
  say(where, call.server === "" ? "" : `over server ${call.server}`);
  row.classList.toggle("ended", isOver(call));
  const keys = [...callKeys(call), ["", "Ladder"]];
  keep(
    row.querySelector(".keys"), keys, ([word]) => word,
    ([word, label]) => callKey(call.id, word, label),
    () => {},
  );
  show(row.querySelector("form"), call.third_party && !isOver(call));
}

function callKey(id, word, label) {
  const key = make("button", { type: "button", textContent: label });
  key.setAttribute("aria-label", `${label} ${id}`);
  key.addEventListener("click", () => {
    if (word !== "") {
      void command([word, id]);
      return;
    }
    byId("ladder-choice").value = id;
    void showLadder(last.ladders);
    byId("ladder-title").scrollIntoView();
  });
  return key;
}

function showCalls({ calls, phones, registrations }) {
  const newest = [...calls].reverse();
  const ordered = [...newest.filter((call) => !isOver(call)), ...newest.filter(isOver)];
  show(byId("no-calls"), calls.length === 0);
  keep(byId("calls"), ordered.slice(0, MOST_ROWS), (call) => call.id, callRow, fillCall);
  const dns = [...new Set([...phones, ...registrations].map((one) => one.dn))].slice(0, MOST_ROWS);
  keep(byId("dns"), dns, (dn) => dn, (dn) => make("option", { value: dn }), () => {});
}

// The ladder

let drawn = "";

async function showLadder(ladders) {
  const choice = byId("ladder-choice");
  const options = [{ name: "", title: "the newest call" }, ...[...ladders].reverse()];
  keep(choice, options, ({ name }) => name, ({ name }) => make("option", { value: name }), (option, { name, title }) => {
    say(option, name === "" || name === "others" ? title : `${name}: ${title}`);
  });
  const chosen = chosenLadder(ladders, choice.value);
  const stamp = chosen === null ? "" : `${chosen.name} ${chosen.messages} ${chosen.latest}`;
  if (stamp === drawn) {
    return;
  }
  drawn = stamp;
  show(byId("no-ladder"), chosen === null || chosen.messages === 0);
  show(byId("ladder-link"), chosen !== null);
  if (chosen === null || chosen.messages === 0) {
    byId("ladder").replaceChildren();
    return;
  }
  const address = `/api/lab/ladder/${encodeURIComponent(chosen.name)}.svg`;
  byId("ladder-link").href = address;
  try {
    const response = await fetch(address, { cache: "no-store" });
    const drawing = new DOMParser().parseFromString(await response.text(), "image/svg+xml");
    // Another one may have been chosen meanwhile.
    if (response.ok && drawn === stamp) {
      byId("ladder").replaceChildren(document.importNode(drawing.documentElement, true));
    }
  } catch (error) {
    // The next look draws it.
    drawn = "";
    stale(`The ladder did not come (${error.message}); it is asked for again.`);
  }
}

// The B2BUA, DNs, phones

function lines(list, items, words) {
  keep(list, items, (item) => item.id ?? item.address ?? item.name, () => make("li"), (line, item) => say(line, words(item)));
}

function showGateway(gateway) {
  say(byId("gateway-words"), gatewayWords(gateway));
  say(byId("gateway-dns"), dnsWords(gateway));
  lines(byId("gateway-servers"), gateway?.servers ?? [], ({ address, state }) => `${address}: ${state}`);
  lines(byId("gateway-calls"), gateway?.calls ?? [], (call) => (
    `${call.id}: ${call.caller} → ${call.callee}, ${heldWords(call)}, ${duration(call.since)}`
  ));
}

const LABELS = ["DN", "Server", "Ends in", "Contact"];

function registrationRow() {
  const row = make("tr");
  for (const label of LABELS) {
    const cell = make("td");
    cell.dataset.label = label;
    cell.classList.toggle("wide", label === "Contact");
    row.append(cell);
  }
  return row;
}

function showRegistrations({ registrations }) {
  const more = registrations.length - MOST_ROWS;
  const none = registrations.length === 0 ? "No DN is registered." : "";
  say(byId("registered-words"), more > 0 ? `The first ${MOST_ROWS}; ${more} more are not shown.` : none);
  show(byId("registered"), registrations.length > 0);
  keep(
    byId("registered").tBodies[0], registrations.slice(0, MOST_ROWS), ({ dn, contact }) => `${dn} ${contact}`,
    registrationRow,
    (row, { dn, server, expires_in, contact }) => {
      [dn, server, duration(expires_in), contact].forEach((text, index) => say(row.cells[index], text));
    },
  );
}

function showPhones({ phones }) {
  lines(byId("phones"), phones, ({ name, dn, address, state }) => `${name}: DN ${dn}, ${address}, ${state}`);
}

// Once a second

let last = { ladders: [] };
let asked = 0;

async function look() {
  const number = ++asked;
  let picture;
  try {
    const response = await fetch("/api/lab/status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    picture = await response.json();
    if (!response.ok) {
      throw new Error(picture.error ?? `the suite answered ${response.status}`);
    }
  } catch (error) {
    stale(`The suite does not tell how the lab is (${error.message}). What is shown is old; it is asked every second.`);
    return;
  }
  // A command looks at once; whichever was asked later is the newer picture.
  if (number === asked) {
    stale("");
    await showPicture(picture);
  }
}

async function showPicture(picture) {
  last = picture;
  say(byId("news"), news(picture));
  showServers(picture.lab);
  showCalls(picture.lab);
  showGateway(picture.gateway);
  showRegistrations(picture.lab);
  showPhones(picture.lab);
  await showLadder(picture.ladders);
}

function stale(words) {
  say(byId("stale"), words);
  show(byId("stale"), words !== "");
  document.body.classList.toggle("stale", words !== "");
}

async function watch() {
  if (!document.hidden) {
    await look();
  }
  setTimeout(() => { void watch(); }, PERIOD);
}

onSubmit(byId("call-form"), () => ["call", byId("from").value.trim(), byId("to").value.trim()]);
onSubmit(byId("command-form"), () => byId("command").value.trim().split(/\s+/).filter((word) => word !== ""));
byId("ladder-choice").addEventListener("change", () => { void showLadder(last.ladders); });
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    void look();
  }
});
void watch();
