// The page: what the reader does, what the stream tells, and the address bar, which holds the whole choice.

import { asJson, asText, copy, download, LogStore, LogStream, localTime, MOST_LOGS, escapeLine } from "./logstream.js";
import { Banners } from "./banners.js";
import { bindKeys } from "./keys.js";
import { fillText, levelWord, LineView, needlePattern } from "./lines.js";
import { Names } from "./names.js";
import { RunChooser } from "./runs.js";

const MOST_RUNS = 200; // the most that one stream takes
const CHILDREN_EVERY = 5_000;
const EARLIER = 60_000; // milliseconds before a subflow's creation: the clocks of those who log may be slow
const LONGEST_OPENED = 100_000; // characters of a message that are laid out unasked
const SAY_EVERY = 10_000;
const WORDS = {
  connecting: "Connecting…",
  open: "Live",
  lost: "Reconnecting…",
  offline: "Offline",
  refused: "Not reachable",
  ended: "All runs have ended",
  closed: "Stopped",
};

const byId = (id) => document.getElementById(id);
const about = await ask("api/about");
const store = new LogStore();
const banners = new Banners(byId("banners"));
const names = new Names(ask, () => {
  view.draw({ anew: true });
  if (!byId("details").hidden) showLinks(view.selected);
});
const view = new LineView(byId("lines"), byId("space"), who, { select: showDetails, follow: showFollow });
const chooser = new RunChooser(byId, ask, { change: () => begin(), answer: readAnswer });
let stream = null;
let children = new Map();
let flowRuns = new Set();
let matches = () => true;
let errorsSaid = 0;
let errorsSeen = 0;
let shownStatus = "closed";

// Asking the server

async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { headers: { accept: "application/json" } });
  } catch {
    throw new Error("The server of this page does not answer.");
  }
  if (answer.status === 401) location.assign("login");
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([body.error ?? `HTTP ${answer.status}`, body.hint].filter(Boolean).join(" "));
  return body;
}

function readAnswer(body) {
  for (const run of [...body.runs, ...body.chosen]) names.learn("flow_run", run.id, run.name);
  if (body.rest) banners.show("rest", body.rest, { closable: true });
  else banners.hide("rest");
}

// The stream

/** A new choice of runs: the lines of the old one go. */
function begin() {
  stream?.close(); // first: it hands over what it still has
  children = new Map();
  flowRuns = new Set();
  errorsSeen = errorsSaid = 0;
  store.clear();
  banners.clear();
  view.unselect();
  view.setRows([], view.needle);
  view.follow(true);
  saveChoice();
  connect(new URLSearchParams(byId("begin").value));
  findChildren();
  showCounts();
}

/** `from`: the parameters that say where the stream begins. */
function connect(from) {
  const paused = stream?.paused ?? false;
  stream?.close();
  const query = new URLSearchParams(from);
  for (const id of streamedRuns()) query.append("flow_run_id", id);
  stream = new LogStream(`logs?${query}`, {
    logs: takeLogs,
    status: showStatus,
    paused: () => showStatus(stream.status),
    gap: showGap,
    state: (fact) => {
      names.learn("flow_run", fact.flow_run_id, fact.name);
      chooser.setState(fact.flow_run_id, fact.state_type, fact.state_name);
    },
    end: () => findChildren(),
  });
  if (paused) stream.pause();
  stream.open();
}

function streamedRuns() {
  return [...chooser.chosen, ...children.keys()].slice(0, MOST_RUNS);
}

/** Subflows that started meanwhile: the stream goes on with them, from where nothing of any run is missed. */
async function findChildren() {
  if (!chooser.chosen.size || !byId("subflows").checked || document.hidden || !navigator.onLine) return;
  const chosen = [...chooser.chosen];
  let found;
  try {
    found = await ask(`api/children?${new URLSearchParams(chosen.map((id) => ["flow_run", id]))}`);
  } catch {
    return; // the next look is soon
  }
  if (String(chosen) !== String([...chooser.chosen])) return;
  const born = found.runs.filter((run) => !children.has(run.id) && !chooser.chosen.has(run.id));
  if (!born.length) return;
  for (const run of born) {
    children.set(run.id, run);
    names.learn("flow_run", run.id, run.name);
  }
  if (streamedRuns().length < chooser.chosen.size + children.size) {
    banners.show("many", `Only ${MOST_RUNS} runs can be shown at once; there are more subflows.`, { closable: true });
  }
  connect(resumption(born));
}

/** The cursor begins with the moment before which nothing is missing; new runs may have logged before it. */
function resumption(born) {
  if (!stream?.cursor) return new URLSearchParams(byId("begin").value);
  const moments = [Date.parse(stream.cursor.split("/")[0])];
  for (const run of born) moments.push(Date.parse(run.created ?? 0) - EARLIER);
  const since = Math.min(...moments.filter((moment) => !Number.isNaN(moment)));
  return new URLSearchParams({ since: new Date(Math.max(since, 0)).toISOString() });
}

function takeLogs(batch) {
  const { added, dropped } = store.add(batch);
  for (const log of added) {
    if (log.flow_run_id) flowRuns.add(log.flow_run_id);
    if (log.level >= 40) errorsSeen += 1;
  }
  view.take(added.filter(matches), dropped);
  showCounts();
}

// What is shown

function who(log) {
  const run = log.flow_run_id ? names.of("flow_run", log.flow_run_id) : "";
  const task = log.task_run_id ? names.of("task_run", log.task_run_id) : "";
  if (!run && !task) return log.name;
  if (!run || !task) return run || task;
  // Where one run is chosen, the tasks of that run need not say so on every line.
  const { chosen } = chooser;
  const plain = chosen.size === 1 ? chosen.has(log.flow_run_id) : flowRuns.size < 2;
  return plain ? task : `${run} › ${task}`;
}

function applyFilter() {
  const level = Number(byId("level").value);
  const text = byId("text").value;
  const pattern = text ? new RegExp(needlePattern(text), "iu") : null;
  matches = (log) => log.level >= level && (pattern === null || pattern.test(log.message));
  view.setRows(store.logs.filter(matches), text);
  saveChoice();
  showCounts();
}

function showCounts() {
  const number = (count) => count.toLocaleString("en");
  const shown = view.rows.length;
  const kept = store.logs.length;
  const lines = shown === kept ? number(shown) : `${number(shown)} of ${number(kept)}`;
  byId("shown").textContent = `${lines} ${kept === 1 ? "line" : "lines"}`;
  byId("count").textContent = kept
    ? `${localTime(store.logs[0].timestamp, { full: true })} to ${localTime(store.logs[kept - 1].timestamp)}`
    : "";
  byId("kept").textContent = store.dropped
    ? `the newest ${number(MOST_LOGS)} are kept; ${number(store.dropped)} older ones were let go`
    : `up to ${number(MOST_LOGS)} lines are kept`;
  byId("empty").hidden = shown > 0;
  if (!shown) byId("empty-text").textContent = kept ? "No line passes the filter." : emptyText();
  showNewer();
}

function emptyText() {
  if (stream?.status === "ended") return "These runs have ended without a line.";
  return chooser.chosen.size ? "No lines of these runs yet." : "Waiting for the first line. Lines of all runs appear here.";
}

function showStatus(status) {
  if (status === "open" && shownStatus !== "open") banners.clear("gap-"); // what still holds is told anew
  shownStatus = status;
  const paused = stream?.paused;
  const element = byId("status");
  element.dataset.status = paused && status === "open" ? "paused" : status;
  const waiting = stream?.waiting ?? 0;
  element.textContent = paused && status === "open" ? "Paused" : WORDS[status];
  byId("pause").textContent = paused ? (waiting ? `Go on (${waiting.toLocaleString("en")})` : "Go on") : "Pause";
  byId("pause").setAttribute("aria-pressed", Boolean(paused));
  if (status === "offline") banners.show("connection", "This browser is offline. Lines that come meanwhile follow when it is back.", { weight: "bad" });
  else if (status === "refused" || status === "lost") banners.show("connection", "The connection is lost; it is being opened again, and goes on where it was.", { weight: "bad" });
  else banners.hide("connection");
  if (status === "refused") ask("api/about").catch(() => {}); // 401: to the login
  if (!store.logs.length) showCounts();
}

function showGap(gap) {
  // Without a trouble nothing will fill it: it stays, also when the connection is opened again.
  const lasting = gap.open && gap.reason === "history" && !gap.trouble;
  const cause = lasting ? "not-kept" : `gap-${gap.reason}`;
  if (gap.open) {
    const text = {
      behind: "This page is behind: lines came faster than they could be sent. The missing ones are being listed.",
      upstream: "Prefect cannot be reached right now; lines may be missing until it can.",
      history: gap.trouble && "A gap: lines are missing here, and Prefect's REST list does not answer yet.",
    }[gap.reason];
    banners.show(cause, text || gap.text, { weight: gap.reason === "behind" ? "warn" : "bad" });
  } else if (banners.has(cause)) {
    const count = gap.recovered ? ` ${gap.recovered.toLocaleString("en")} lines were listed.` : "";
    banners.show(cause, `Complete again.${count}`, { weight: "fine" });
  }
}

function showFollow(on) {
  byId("follow").setAttribute("aria-pressed", on);
  showNewer();
}

function showNewer() {
  byId("newer").hidden = view.following || !view.rows.length;
}

function showDetails(log, open = false) {
  const details = byId("details");
  if (!log || (details.hidden && !open)) {
    details.hidden = true;
    return;
  }
  byId("d-level").textContent = log.level_name;
  byId("d-level").dataset.level = levelWord(log.level);
  byId("d-time").textContent = localTime(log.timestamp, { full: true });
  byId("d-time").title = log.timestamp;
  byId("d-logger").textContent = escapeLine(log.name);
  showLinks(log);
  showMessage(log, LONGEST_OPENED);
  const was = details.hidden;
  details.hidden = false;
  // The details take room from the list. By the time that is laid out they may be closed, or of another line.
  if (was) requestAnimationFrame(() => view.selected === log && view.select(view.indexOf(log)));
}

function showLinks(log) {
  link(byId("d-run"), about.flow_run_page, log.flow_run_id, "flow_run", "Run");
  link(byId("d-task"), about.task_run_page, log.task_run_id, "task_run", "Task");
}

function showMessage(log, most) {
  const more = byId("d-more");
  const cut = log.message.length > most;
  fillText(byId("d-message"), cut ? log.message.slice(0, most) : log.message, view.needle, { lines: true });
  more.hidden = !cut;
  more.textContent = `Show all ${log.message.length.toLocaleString("en")} characters`;
  more.onclick = () => showMessage(log, Infinity);
}

function link(element, template, id, kind, label) {
  element.hidden = !id;
  if (!id) return;
  element.textContent = `${label} ${escapeLine(names.of(kind, id))}`;
  if (template && /^https?:\/\//.test(template)) element.href = template.replace("{id}", encodeURIComponent(id));
  else element.removeAttribute("href");
}

// What the reader does

function togglePause() {
  if (stream.paused) stream.resume();
  else stream.pause();
  showStatus(stream.status);
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("rawlogs-theme", root.dataset.theme);
  } catch {
    // Storage is switched off: the choice holds until the page is left.
  }
}

function setWrap(on) {
  view.wrap(on);
  byId("wrap").setAttribute("aria-pressed", on);
}

function toggleWrap() {
  const on = byId("wrap").getAttribute("aria-pressed") !== "true";
  setWrap(on);
  try {
    localStorage.setItem("rawlogs-wrap", on ? "on" : "off");
  } catch {
    // Storage is switched off: the choice holds until the page is left.
  }
}

/** Whether long lines were broken here last; without a choice they are where the window is as narrow as a phone. */
function wrapped() {
  try {
    const kept = localStorage.getItem("rawlogs-wrap");
    if (kept) return kept === "on";
  } catch {
    // Storage is switched off: as if nothing was chosen.
  }
  return matchMedia("(max-width: 760px)").matches;
}

async function copyLines(logs) {
  const done = await copy(logs.map((log) => asText(log, who(log))).join(""));
  const count = logs.length === 1 ? "1 line" : `${logs.length.toLocaleString("en")} lines`;
  banners.show("copied", done ? `Copied ${count}.` : "This browser does not let the page copy.", { weight: done ? "fine" : "warn", closable: true });
}

function save(kind) {
  byId("save-menu").hidePopover?.();
  const stamp = new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");
  if (kind === "json") download(`rawlogs-${stamp}.jsonl`, view.rows.map(asJson), "application/jsonl");
  else download(`rawlogs-${stamp}.log`, view.rows.map((log) => asText(log, who(log))));
}

function setLevel(level) {
  byId("level").value = String(level);
  applyFilter();
}

function toggleRuns(show = byId("runs-pane").hidden) {
  byId("runs-pane").hidden = !show;
  byId("runs-toggle").setAttribute("aria-expanded", show);
}

function saveChoice() {
  const query = new URLSearchParams();
  for (const id of chooser.chosen) query.append("run", id);
  if (byId("level").value !== "0") query.set("level", byId("level").value);
  if (byId("text").value) query.set("text", byId("text").value);
  if (!byId("subflows").checked) query.set("subflows", "no");
  if (byId("begin").selectedIndex) query.set("begin", byId("begin").value);
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

function readChoice() {
  const query = new URLSearchParams(location.search);
  byId("level").value = query.get("level") ?? "0";
  if (!byId("level").value) byId("level").value = "0";
  byId("text").value = query.get("text") ?? "";
  byId("subflows").checked = query.get("subflows") !== "no";
  if (query.has("begin")) byId("begin").value = query.get("begin");
  if (byId("begin").selectedIndex < 0) byId("begin").selectedIndex = 0;
  if (matchMedia("(max-width: 760px)").matches) toggleRuns(false);
  applyFilter();
  chooser.choose(query.getAll("run").filter((id) => /^[0-9a-f-]{36}$/i.test(id)));
}

function sayErrors() {
  if (errorsSeen > errorsSaid) {
    const count = errorsSeen - errorsSaid;
    byId("said").textContent = `${count} new ${count === 1 ? "error" : "errors"}`;
  }
  errorsSaid = errorsSeen;
}

byId("server").textContent = escapeLine(about.api);
byId("logout").hidden = !about.login;
if (/^https?:\/\//.test(about.ui ?? "")) byId("server").href = about.ui;
byId("level").addEventListener("change", applyFilter);
let typing = null;
byId("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(applyFilter, 120);
});
byId("subflows").addEventListener("change", () => begin());
byId("begin").addEventListener("change", () => begin());
byId("follow").addEventListener("click", () => view.follow(!view.following));
byId("newer").addEventListener("click", () => view.follow(true));
byId("pause").addEventListener("click", togglePause);
byId("wrap").addEventListener("click", toggleWrap);
byId("copy").addEventListener("click", () => copyLines(view.rows));
byId("save-text").addEventListener("click", () => save("text"));
byId("save-json").addEventListener("click", () => save("json"));
byId("d-copy").addEventListener("click", () => copyLines([view.selected]));
byId("d-close").addEventListener("click", () => closeDetails());
byId("theme").addEventListener("click", toggleTheme);
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("runs-toggle").addEventListener("click", () => toggleRuns());
document.addEventListener("visibilitychange", () => document.hidden || findChildren());

function closeDetails() {
  byId("details").hidden = true;
  view.unselect();
  byId("lines").focus();
}

bindKeys({
  "/": () => focusField("text"),
  r: () => {
    toggleRuns(true);
    focusField("run-name");
  },
  f: () => view.follow(!view.following),
  p: togglePause,
  j: () => view.move(1),
  k: () => view.move(-1),
  ArrowDown: () => view.move(1),
  ArrowUp: () => view.move(-1),
  PageDown: () => view.move(view.page),
  PageUp: () => view.move(-view.page),
  Home: () => view.select(0),
  End: () => {
    view.select(view.rows.length - 1);
    view.follow(true);
  },
  e: () => view.moveTo(40, 1),
  E: () => view.moveTo(40, -1),
  Enter: () => view.selected && showDetails(view.selected, true),
  Escape: closeDetails,
  c: () => view.selected && copyLines([view.selected]),
  d: () => save("text"),
  t: toggleTheme,
  w: toggleWrap,
  "?": () => byId("help").showModal(),
  ...Object.fromEntries([0, 1, 2, 3, 4, 5].map((digit) => [String(digit), () => setLevel(digit * 10)])),
});

function focusField(id) {
  byId(id).focus();
  byId(id).select();
}

setInterval(findChildren, CHILDREN_EVERY);
setInterval(sayErrors, SAY_EVERY);
setWrap(wrapped());
readChoice();
chooser.look();
