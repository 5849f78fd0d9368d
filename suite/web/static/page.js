// The check page: fills the form, runs the checks, shows what they gave.

import { sendData } from "./flow.js";
import { gather } from "./gather.js";
import { TRANSPORTS, plan } from "./servers.js";
import { MARKS, NAMES, dataVerdict, errorWords, fare, gatherVerdict } from "./words.js";

const byId = (id) => document.getElementById(id);
const form = byId("form");
const rows = byId("servers");
const EARLY = 60;
let given = { credentials: "ask", password: null, ends: Infinity };

function addRow({ urls = "", username = "", credential = "" } = {}) {
  const row = byId("server-row").content.firstElementChild.cloneNode(true);
  const url = row.querySelector("[name=url]");
  url.value = urls;
  row.querySelector("[name=username]").value = username;
  row.querySelector("[name=password]").value = credential;
  row.querySelector(".remove").addEventListener("click", () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    number();
    (next?.querySelector("[name=url]") ?? byId("add")).focus();
  });
  const mark = () => row.classList.toggle("stun", /^stuns?:/i.test(url.value.trim()));
  url.addEventListener("input", mark);
  mark();
  rows.append(row);
  number();
  return row;
}

function number() {
  [...rows.children].forEach((row, index) => {
    row.querySelector("legend").textContent = `Server ${index + 1}`;
    row.querySelector(".remove").setAttribute("aria-label", `Remove server ${index + 1}`);
  });
}

function readRows() {
  return [...rows.children].map((row) => ({
    url: row.querySelector("[name=url]").value,
    username: row.querySelector("[name=username]").value,
    password: row.querySelector("[name=password]").value,
  }));
}

const NOTES = {
  temporary: (minutes) => `This server's own relay is filled in, with a password made for this page that ends in ${minutes} minutes. You may change the list.`,
  anonymous: () => "This server's own relay is filled in; it asks for no password. You may change the list.",
  ask: () => "This server's own relay is filled in. It gives out no temporary passwords, so type a user name and password that it knows.",
};

async function askOffer() {
  const response = await fetch("/api/ice-servers", { cache: "no-store" });
  if (!response.ok) {
    throw new Error(`the server answered ${response.status}`);
  }
  const offer = await response.json();
  const relay = offer.iceServers.find((server) => server.credential !== undefined);
  given = {
    credentials: offer.credentials,
    username: relay?.username,
    password: relay?.credential ?? null,
    ends: offer.lifetime === 0 ? Infinity : performance.now() + (offer.lifetime - EARLY) * 1000,
  };
  return offer;
}

// Rows that still hold the page's own password get a new one before it ends.
async function renewPasswords() {
  if (performance.now() < given.ends) {
    return;
  }
  const old = given.password;
  await askOffer();
  for (const row of rows.children) {
    const password = row.querySelector("[name=password]");
    if (password.value === old) {
      password.value = given.password;
      row.querySelector("[name=username]").value = given.username;
    }
  }
}

function isTemporary(check) {
  return given.credentials === "temporary" && check.iceServers[0].credential === given.password;
}

async function fillForm() {
  const note = byId("servers-note");
  try {
    const offer = await askOffer();
    offer.iceServers.forEach(addRow);
    note.textContent = offer.iceServers.length === 0
      ? "This server runs no relay of its own. Enter the address of one."
      : NOTES[offer.credentials](Math.round(offer.lifetime / 60));
  } catch (error) {
    note.textContent = `This server's own relay could not be filled in: ${error.message}. Enter the address of one.`;
  }
  if (rows.children.length === 0) {
    addRow();
  }
  // On a phone a filled-in list would push the buttons out of sight.
  const complete = readRows().every((row) => row.url !== "" && plan([row]).problems.length === 0);
  byId("servers-details").open = !complete || matchMedia("(min-width: 48rem)").matches;
}

function showCard(list, transport, { status, headline, advice }) {
  const id = `${list.id}-${transport}`;
  let card = byId(id);
  if (card === null) {
    card = document.createElement("li");
    card.id = id;
    list.append(card);
  }
  card.dataset.status = status;
  const mark = Object.assign(document.createElement("span"), { className: "mark", textContent: MARKS[status] });
  mark.setAttribute("aria-hidden", "true");
  const head = Object.assign(document.createElement("p"), { className: "headline" });
  head.append(mark, headline);
  const body = Object.assign(document.createElement("p"), { className: "advice", textContent: advice });
  card.replaceChildren(head, body);
}

function showWaiting(list, checks) {
  list.replaceChildren();
  for (const transport of TRANSPORTS) {
    const tried = checks.some((check) => check.server.transport === transport);
    if (tried) {
      showCard(list, transport, { status: "waiting", headline: `${NAMES[transport]}: trying…`, advice: "" });
    }
  }
}

const LABELS = ["Time, ms", "Type", "Protocol", "Relay over", "Address", "Port", "Priority", "Related address"];
const WIDE = new Set(["Address", "Priority", "Related address"]);

function showCandidate(candidate, time, server) {
  const relay = candidate.type === "relay";
  const over = relay ? NAMES[candidate.relayProtocol ?? server?.transport] ?? "" : "";
  const hidden = candidate.address.endsWith(".local");
  const related = candidate.relatedAddress && candidate.relatedPort && candidate.relatedAddress !== "0.0.0.0"
    ? `${candidate.relatedAddress} port ${candidate.relatedPort}` : "";
  const cells = [
    time.toFixed(1), candidate.type, candidate.protocol, over,
    hidden ? `${candidate.address} (hidden by the browser)` : candidate.address,
    candidate.port, candidate.priority, related,
  ];
  const line = document.createElement("tr");
  line.className = candidate.type;
  cells.forEach((value, index) => {
    const cell = document.createElement("td");
    cell.dataset.label = LABELS[index];
    cell.classList.toggle("empty", value === "" || value === null);
    cell.classList.toggle("wide", WIDE.has(LABELS[index]));
    cell.textContent = cell.classList.contains("empty") ? "–" : String(value);
    line.append(cell);
  });
  byId("candidates").tBodies[0].append(line);
}

function showError(words) {
  byId("errors-section").hidden = false;
  const already = [...byId("errors").children].some((item) => item.textContent === words);
  if (!already) {
    byId("errors").append(Object.assign(document.createElement("li"), { textContent: words }));
  }
}

// Several relays may share a transport: the one that works stands for it, else the first.
function best(outcomes, transport, succeeded) {
  const mine = outcomes.filter((outcome) => outcome.server.transport === transport);
  return mine.find((outcome) => succeeded(outcome.result)) ?? mine[0];
}

function fared(outcomes, host) {
  const others = {};
  for (const { server, result } of outcomes) {
    if (server.host === host && others[server.transport] !== "works") {
      others[server.transport] = fare(result);
    }
  }
  return others;
}

function showVerdicts(list, outcomes, verdict, succeeded, done) {
  for (const transport of TRANSPORTS) {
    const outcome = best(outcomes, transport, succeeded);
    // A failure is explained by how the others fared, so it waits for them.
    if (done || (outcome && succeeded(outcome.result))) {
      const others = outcome ? fared(outcomes, outcome.server.host) : {};
      showCard(list, transport, verdict(transport, outcome, { others, temporary: outcome?.temporary }));
    }
  }
}

async function run(button, progress, work) {
  const buttons = [byId("gather"), byId("flow")];
  buttons.forEach((each) => { each.disabled = true; });
  byId("errors").replaceChildren();
  byId("errors-section").hidden = true;
  progress.textContent = "Trying… To be sure that a way is blocked can take 20 seconds.";
  const section = progress.closest("section");
  section.hidden = false;
  if (section.getBoundingClientRect().top > innerHeight / 2) {
    section.scrollIntoView();
  }
  try {
    await renewPasswords();
    const { checks, stun, problems } = plan(readRows());
    problems.forEach(showError);
    progress.textContent = await work(checks, stun);
  } catch (error) {
    progress.textContent = `The check ended early: ${error.message}.`;
  } finally {
    buttons.forEach((each) => { each.disabled = false; });
    button.focus({ preventScroll: true });
  }
}

const gathered = (result) => result.relay !== null;
const flowed = (result) => result.flows;

function summary(works, tried, sentence) {
  if (tried === 0) {
    return "There is no relay to try: see below.";
  }
  return `Done: ${works} of ${tried} ${sentence}`;
}

async function gatherAll(checks, stun) {
  const list = byId("verdicts");
  const outcomes = [];
  const started = performance.now();
  byId("candidates").tBodies[0].replaceChildren();
  byId("candidates-section").hidden = false;
  showWaiting(list, checks);
  const jobs = checks.map(async (check) => {
    const { server, iceServers } = check;
    const temporary = isTemporary(check);
    const result = await gather(iceServers, "relay", {
      started,
      onCandidate: (candidate, time) => {
        showCandidate(candidate, time, server);
        if (candidate.type === "relay") {
          outcomes.unshift({ server, result: { relay: { ...candidate, time }, errors: [], refused: null }, temporary });
          showVerdicts(list, outcomes, gatherVerdict, gathered, false);
        }
      },
      onError: (error) => showError(errorWords(error, server, temporary)),
    });
    outcomes.push({ server, result, temporary });
    showVerdicts(list, outcomes, gatherVerdict, gathered, false);
  });
  jobs.push(gather(stun, "all", {
    started,
    onCandidate: (candidate, time) => showCandidate(candidate, time, null),
    onError: (error) => showError(errorWords(error, { url: "STUN", host: error.url.replace(/^stuns?:/, "") })),
  }));
  await Promise.all(jobs);
  showVerdicts(list, outcomes, gatherVerdict, gathered, true);
  const works = new Set(outcomes.filter(({ result }) => gathered(result)).map(({ server }) => server.url));
  return summary(works.size, checks.length, checks.length === 1 ? "relay can be used from here." : "relays can be used from here.");
}

async function sendAll(checks) {
  const list = byId("flows");
  const outcomes = [];
  showWaiting(list, checks);
  // One after another, so that the round trips do not disturb each other.
  for (const check of checks) {
    const { server, iceServers } = check;
    const temporary = isTemporary(check);
    const result = await sendData(iceServers);
    result.errors.forEach((error) => showError(errorWords(error, server, temporary)));
    outcomes.push({ server, result, temporary });
    showVerdicts(list, outcomes, dataVerdict, flowed, false);
  }
  showVerdicts(list, outcomes, dataVerdict, flowed, true);
  const works = outcomes.filter(({ result }) => flowed(result)).length;
  return summary(works, checks.length, checks.length === 1 ? "relay passes data." : "relays pass data.");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void run(byId("gather"), byId("progress"), gatherAll);
});
byId("flow").addEventListener("click", () => { void run(byId("flow"), byId("flow-progress"), sendAll); });
byId("add").addEventListener("click", () => { addRow().querySelector("[name=url]").focus(); });

if (typeof RTCPeerConnection === "undefined") {
  byId("gather").disabled = byId("flow").disabled = true;
  byId("progress").textContent = "This browser has WebRTC switched off (or has none), so it can neither check nor make calls.";
}
void fillForm();
