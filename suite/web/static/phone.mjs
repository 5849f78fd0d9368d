// The phone's page: signs in, calls and is called, with the library that applications use.

import { Client } from "/jsapi/grtc.mjs";
import { keep, say, show } from "./labdom.js";
import { Levels, listDevices } from "./phonemedia.mjs";
import { callWords, clock, endWords, mediaWords, newsWords, numberRows, pathWords, signInWords, troubleWords } from "./phonewords.mjs";

const TONES = "123456789*0#";
const MOST_LOG = 100;

const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
const on = (id, act) => byId(id).addEventListener("click", () => { void act(); });

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const levels = new Levels(still ? 1000 : 100);

let client = null;
let name = "";
let stream = null;
let path = "";
let stopRinging = () => {};
const mine = () => client?.call ?? null;

// What is said

function tell(sentence) {
  const time = make("time", { textContent: new Date().toLocaleTimeString([], { hour12: false }) });
  const entry = make("li");
  entry.append(time, sentence);
  byId("log").prepend(entry);
  while (byId("log").children.length > MOST_LOG) {
    byId("log").lastElementChild.remove();
  }
}

function news(sentence) {
  say(byId("news"), sentence);
  tell(sentence);
}

function trouble(sentence) {
  say(byId("trouble"), sentence ?? "");
  show(byId("trouble"), Boolean(sentence));
  if (sentence) {
    tell(sentence);
    byId("trouble").scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
  }
}

// 1. Sign in

function options() {
  const [gateway, urls] = [byId("gateway").value.trim(), byId("relay").value.trim()];
  const [username, credential] = [byId("relay-user").value, byId("relay-password").value];
  return {
    gateway: gateway || undefined,
    iceServers: urls ? [{ urls, ...(username && { username, credential }) }] : undefined,
  };
}

async function signIn(user, password) {
  trouble(null);
  await client?.signOut();
  const chosen = options();
  try {
    client = new Client({ ...chosen, log: (level, message, error) => console.debug(level, message, error ?? "") });
  } catch (error) {
    trouble(error.message);
    return;
  }
  name = user ?? "Anon";
  const mineNow = client;
  client.localStream = stream;
  client.on("state", ({ detail }) => mineNow === client && showState(detail.state));
  client.on("incoming", () => ring());
  client.on("call", ({ detail }) => follow(detail.call));
  client.on("gone", () => trouble("The gateway does not know this session any more. Signing in again…"));
  try {
    await client.signIn(user, password);
  } catch (error) {
    trouble(signInWords(error, chosen.gateway ?? location.origin));
  }
}

function showState(state) {
  const inside = state === "signed-in" || state === "reconnecting";
  news(newsWords(state, name));
  document.body.classList.toggle("signed-in", inside);
  const hadFocus = byId("sign-in").contains(document.activeElement);
  show(byId("sign-in-form"), !inside);
  show(byId("elsewhere"), !inside);
  show(byId("signed-in"), inside);
  say(byId("signed-in-words"), `${name} at ${new URL(client.options.gateway).host}`);
  for (const button of byId("sign-in-form").querySelectorAll("button")) {
    button.disabled = state === "signing-in";
  }
  if (state === "signed-in") {
    trouble(null);
  }
  arrange();
  if (hadFocus && state === "signed-in") {
    arrange();
    (stream === null ? byId("allow-audio") : byId("to")).focus();
  } else if (hadFocus && state === "signed-out") {
    byId("dn").focus();
  }
  refresh();
}

byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [dn, password] = [byId("dn").value.trim(), byId("password").value];
  if (dn === "") {
    trouble("Type your DN, or sign in as Anon.");
    byId("dn").focus();
  } else {
    void signIn(dn, password === "" ? undefined : password);
  }
});
byId("elsewhere").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("sign-in-form").requestSubmit();
});
on("anon", () => signIn(undefined, undefined));
on("sign-out", () => client.signOut());

// 2. Microphone and camera

async function allow(kinds) {
  trouble(null);
  levels.wake();
  try {
    const opened = await open(kinds);
    closeMedia();
    stream = opened;
  } catch (error) {
    trouble(mediaWords(error));
    return false;
  }
  if (client !== null) {
    client.localStream = stream;
  }
  for (const track of stream.getTracks()) {
    track.addEventListener("ended", () => trouble(`${track.kind === "audio" ? "The microphone" : "The camera"} was unplugged, or the browser took it away.`));
  }
  await showMedia();
  return true;
}

// As the library does it, so that the words for what fails are the same with and without a call.
function open({ audio, video }) {
  if (navigator.mediaDevices === undefined) {
    throw new DOMException("", "NotSupportedError");
  }
  return navigator.mediaDevices.getUserMedia({ audio, video });
}

function closeMedia() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  if (client !== null) {
    client.localStream = null;
  }
}

async function showMedia() {
  const [sound, picture] = [stream?.getAudioTracks()[0], stream?.getVideoTracks()[0]];
  say(byId("media-words"), stream === null
    ? "Your browser asks before a page may use them; nobody hears you before a call."
    : `Ready: ${[sound?.label, picture?.label].filter(Boolean).join(", ")}. Nobody hears you before a call.`);
  show(byId("media-level"), sound !== undefined);
  levels.watch(byId("microphone-level"), stream);
  play(byId("preview"), picture === undefined ? null : new MediaStream([picture]));
  show(byId("close-media"), stream !== null);
  show(byId("allow-audio"), stream === null || picture !== undefined);
  show(byId("allow-video"), picture === undefined);
  say(byId("allow-audio"), stream === null ? "Allow microphone" : "Microphone only");
  byId("allow-audio").classList.toggle("primary", stream === null);
  say(byId("allow-video"), stream === null ? "Allow microphone and camera" : "Allow the camera too");
  arrange();
  show(byId("devices"), stream !== null && await listDevices({ audio: byId("microphones"), video: byId("cameras") }, stream));
}

// Who is ready to call finds that first.
function arrange() {
  const main = document.querySelector("main");
  const [dialing, signing] = [byId("dial"), byId("sign-in")];
  const first = stream !== null && client?.state === "signed-in" ? dialing : signing;
  if (byId("call").nextElementSibling !== first && !dialing.contains(document.activeElement)) {
    main.insertBefore(dialing, first === dialing ? signing : byId("log-section"));
  }
}

function play(element, source) {
  show(element, source !== null && source.getTracks().length > 0);
  if (element.srcObject?.id !== source?.id) {
    element.srcObject = source;
  }
  if (source !== null) {
    element.play().catch(() => {});
  }
}

on("allow-audio", () => allow({ audio: true, video: false }));
on("allow-video", () => allow({ audio: true, video: true }));
on("close-media", () => {
  closeMedia();
  return showMedia();
});

async function changeDevice(kind, deviceId) {
  const [sound, picture] = [stream.getAudioTracks()[0], stream.getVideoTracks()[0]];
  const device = (track) => (track ? { deviceId: { exact: track.getSettings().deviceId } } : false);
  const kinds = { audio: device(sound), video: device(picture), [kind]: { deviceId: { exact: deviceId } } };
  const call = mine();
  if (await allow(kinds) && call?.established) {
    for (const track of stream.getTracks().filter((each) => call.connection.wanted[each.kind].send)) {
      await call.replaceTrack(track);
    }
  }
}

byId("microphones").addEventListener("change", ({ target }) => { void changeDevice("audio", target.value); });
byId("cameras").addEventListener("change", ({ target }) => { void changeDevice("video", target.value); });

// 3. Call

byId("dial-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void dial(byId("to").value.trim(), event.submitter?.value === "video");
});

async function dial(to, video) {
  trouble(null);
  levels.wake();
  try {
    await client.dial(to, { audio: true, video: video || "accept" });
  } catch (error) {
    trouble(troubleWords("The call cannot be made", error));
  }
}

async function take(video) {
  levels.wake();
  try {
    await client.accept({ audio: true, video: video || "accept" });
  } catch (error) {
    trouble(troubleWords("The call cannot be taken", error));
  }
}

function ring() {
  const call = mine();
  news(`${call.peer} is calling.`);
  document.title = `${call.peer} is calling – Phone`;
  stopRinging = levels.ring();
  refresh();
  turnTo("ringing");
}

// The section itself and none of its buttons: whoever is typing shall not press one of them by that.
function turnTo(section) {
  if (!byId(section).contains(document.activeElement)) {
    byId(section).focus();
  }
}

function silence() {
  stopRinging();
  stopRinging = () => {};
  document.title = "Phone";
}

function follow(call) {
  path = "";
  client.answerMedia = { audio: true };
  say(byId("digits"), "none yet");
  byId("data-log").replaceChildren();
  for (const panel of PANELS) {
    showPanel(panel, false);
  }
  call.on("state", refresh);
  call.on("hold", refresh);
  call.on("remote", () => hear(call));
  call.on("connection", ({ detail }) => {
    path = detail.state;
    refresh();
    if (detail.state !== "connecting") {
      tell(callWords(call, path));
    }
  });
  call.on("data", ({ detail }) => noteData("They sent", detail.text));
  call.on("trouble", ({ detail }) => trouble(troubleWords("In the call", detail.error)));
  call.on("refused", ({ detail }) => call.answeredAt !== null && trouble(`The other side refused the change. ${detail.error.message}`));
  call.on("ended", ({ detail }) => ended(call, detail));
  refresh();
}

function ended(call, detail) {
  silence();
  const words = endWords(detail, call.peer);
  const calm = ["local", "peer", "rejected", "no-answer"].includes(detail.cause);
  if (!calm) {
    trouble(words);
  }
  const hadFocus = byId("call").contains(document.activeElement) || byId("ringing").contains(document.activeElement);
  queueMicrotask(() => {
    news(calm || client.state !== "signed-in" ? `${words} ${newsWords(client.state, name)}` : newsWords(client.state, name));
    byId("remote-audio").srcObject = null;
    refresh();
    if (hadFocus) {
      byId("to").focus();
    }
  });
}

async function hear(call) {
  const sound = byId("remote-audio");
  sound.srcObject = call.remoteStream;
  try {
    await sound.play();
    show(byId("sound"), false);
  } catch (error) {
    show(byId("sound"), error.name === "NotAllowedError");
  }
  refresh();
}

on("accept", () => take(false));
on("accept-video", () => take(true));
on("reject", () => mine()?.reject());
on("hang-up", () => mine()?.hangUp());
on("sound", () => hear(mine()));

async function change(what, act) {
  trouble(null);
  try {
    await act(mine());
  } catch (error) {
    if (mine() !== null) {
      trouble(troubleWords(what, error));
    }
  }
  refresh();
}

on("hold", () => change("The hold cannot be changed", (call) => (call.held ? call.resume() : call.hold())));
on("mute", () => change("The microphone cannot be muted", (call) => call.mute("audio", call.sends("audio"))));
on("video", () => change("Video cannot be changed", (call) => (call.sends("video") ? call.removeVideo() : client.addVideo())));

// Panels of a call

const PANELS = [["show-keypad", "keypad"], ["show-data", "data"], ["show-numbers", "numbers"]];

function showPanel([button, panel], visible) {
  byId(button).setAttribute("aria-expanded", String(visible));
  show(byId(panel), visible);
}

for (const panel of PANELS) {
  on(panel[0], () => {
    const visible = byId(panel[1]).hidden;
    PANELS.forEach((each) => showPanel(each, each === panel && visible));
    void count();
  });
}

byId("keypad").firstElementChild.append(...[...TONES].map((tone) => {
  const key = make("button", { type: "button", textContent: tone });
  key.setAttribute("aria-label", { "*": "star", "#": "hash" }[tone] ?? tone);
  key.addEventListener("click", () => press(tone));
  return key;
}));

byId("keypad").addEventListener("keydown", (event) => {
  if (TONES.includes(event.key) && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) {
    press(event.key);
  }
});

function press(tone) {
  if (mine()?.sendDigits(tone)) {
    const sent = byId("digits").textContent;
    say(byId("digits"), (sent === "none yet" ? "" : sent) + tone);
  } else {
    trouble("Digits cannot be sent now: the other side takes none, or the call has no sound.");
  }
}

byId("data").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = byId("data-value").value;
  const fields = { [byId("data-key").value]: value };
  const toServer = event.submitter?.value === "server";
  void change("The data cannot be sent", async (call) => {
    await (toServer ? call.sendToServer(fields) : call.sendToPeer(fields));
    noteData(toServer ? "You sent the SIP Server" : "You sent", Object.entries(fields).map((pair) => pair.join("=")).join("&"));
    // Whoever types on while it is sent keeps what was typed.
    if (byId("data-value").value === value) {
      byId("data-value").value = "";
    }
  });
});

function noteData(who, text) {
  byId("data-log").prepend(make("li", { textContent: `${who}: ${decoded(text)}` }));
  tell(`${who}: ${decoded(text)}`);
}

function decoded(text) {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

async function count() {
  const call = mine();
  if (byId("numbers").hidden || !call?.established) {
    return;
  }
  const [browser, gateway] = await Promise.allSettled([call.statistics(), call.gatewayStatistics()]);
  const rows = numberRows(browser.value, gateway.value);
  keep(byId("numbers-body"), rows, ([title]) => title, newRow, (row, cells) => {
    cells.forEach((cell, index) => say(row.cells[index], cell));
  });
  say(byId("numbers-path"), pathWords(browser.value?.path ?? null));
}

function newRow() {
  const row = make("tr");
  const title = make("th");
  title.scope = "row";
  row.append(title, make("td"), make("td"));
  return row;
}

// What is seen of it all

function refresh() {
  const call = mine();
  const ready = client?.state === "signed-in" && call === null;
  show(byId("dial-hint"), client?.state !== "signed-in");
  for (const id of ["dial-audio", "dial-video"]) {
    byId(id).disabled = !ready;
  }
  for (const chip of byId("numbers-known").querySelectorAll("button")) {
    chip.disabled = !ready;
  }
  const ringing = call?.ringing === true;
  document.body.classList.toggle("in-call", call !== null);
  document.body.classList.toggle("held", call !== null && (call.held || call.heldByPeer));
  show(byId("ringing"), ringing);
  show(byId("call"), call !== null && !ringing);
  if (ringing) {
    say(byId("ringing-who"), call.peer);
    const attached = call.attachedData.map(({ key, value }) => `${key}: ${value}`).join(", ");
    say(byId("ringing-data"), attached);
    show(byId("ringing-data"), attached !== "");
  } else if (call !== null) {
    silence();
    showCall(call);
  } else {
    levels.watch(byId("own-level"), null);
    levels.watch(byId("remote-level"), null);
    play(byId("remote-video"), null);
    play(byId("own-video"), null);
  }
}

function showCall(call) {
  const talking = call.established;
  say(byId("call-who"), call.peer);
  say(byId("call-state"), callWords(call, path));
  const now = `${talking ? "In a call with" : "Calling"} ${call.peer}`;
  if (!byId("news").textContent.startsWith(now)) {
    news(talking ? `${now}.` : `${now}…`);
    turnTo("call");
  }
  for (const id of ["hold", "mute", "video", "show-keypad", "show-data", "show-numbers"]) {
    byId(id).disabled = !talking;
  }
  const muted = talking && !call.sends("audio");
  showPressed("hold", call.held, call.held ? "Resume" : "Hold");
  showPressed("mute", muted, muted ? "Unmute" : "Mute");
  showPressed("video", call.sends("video"), call.sends("video") ? "Stop video" : "Send video");
  const { tracks, wanted } = call.connection ?? { tracks: {}, wanted: {} };
  levels.watch(byId("own-level"), tracks.audio ? new MediaStream([tracks.audio]) : null);
  levels.watch(byId("remote-level"), call.remoteStream);
  const picture = call.remoteStream?.getVideoTracks().length > 0 ? call.remoteStream : null;
  play(byId("remote-video"), picture);
  playTrack(byId("own-video"), wanted.video?.send ? tracks.video : null);
  show(byId("pictures"), !byId("remote-video").hidden || !byId("own-video").hidden);
}

function playTrack(element, track) {
  if ((element.srcObject?.getTracks()[0] ?? null) !== (track ?? null)) {
    play(element, track ? new MediaStream([track]) : null);
  }
}

function showPressed(id, pressed, words) {
  byId(id).setAttribute("aria-pressed", String(pressed));
  say(byId(id), words);
}

setInterval(() => {
  const call = mine();
  if (call?.answeredAt) {
    say(byId("call-time"), clock((Date.now() - call.answeredAt) / 1000));
  } else {
    say(byId("call-time"), "");
  }
  void count();
}, 1000);

// Numbers to try

function suggest(number, what) {
  byId("suggestions").append(make("option", { value: number, label: what }));
  const button = make("button", { type: "button", disabled: true });
  button.append(make("b", { textContent: number }), ` ${what}`);
  button.addEventListener("click", () => {
    byId("to").value = number;
    void dial(number, false);
  });
  const entry = make("li");
  entry.append(button);
  byId("numbers-known").append(entry);
}

async function suggestLab() {
  const response = await fetch("/api/lab/status");
  if (response.ok) {
    const { lab } = await response.json();
    const what = { echo: "the lab's echo: hear yourself", music: "the lab's music" };
    lab.phones.filter(({ name: phone }) => phone in what).forEach(({ name: phone, dn }) => suggest(dn, what[phone]));
  }
}

suggest("self", "hear yourself");
byId("gateway").placeholder = location.origin;
// The lab answers pages of its own machine only.
if (document.querySelector('a[href$="/lab"]') !== null && /^(localhost$|127\.|\[::1\]$)/.test(location.hostname)) {
  suggestLab().catch((error) => tell(`The lab's numbers are not known: ${error.message}`));
}
if (!window.isSecureContext) {
  trouble(mediaWords({ name: "NotSupportedError" }));
}
document.body.dataset.ready = "true";
refresh();
