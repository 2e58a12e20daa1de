// The page of one run: lines, follow, pause, copy, download. Log text only ever becomes text.
import { RunLogs } from "./logs.js";

const MOST_LINES = 20_000;
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const list = document.getElementById("lines");
const status = document.getElementById("status");
const pauseButton = document.getElementById("pause");
const texts = new WeakMap(); // what is copied of a line
let paused = false;
let waiting = [];

const visible = (text) => text.replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
// Timestamps in UTC as texts that sort as the moments do.
const sortKey = (stamp) => {
  const [seconds, fraction = ""] = stamp.replace(/Z$|\+00:00$/, "").split(".");
  return `${seconds}.${fraction.padEnd(6, "0")}`;
};
const time = (stamp) => new Date(stamp).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false,
});

function line(log) {
  const item = document.createElement("li");
  item.dataset.id = log.id;
  item.dataset.key = sortKey(log.timestamp);
  texts.set(item, `${log.timestamp} ${log.level_name} ${log.name} ${log.message}`);
  item.className = "level-" + Math.min(50, Math.max(0, Math.floor(log.level / 10) * 10));
  for (const [name, text] of [["time", time(log.timestamp)], ["level", log.level_name], ["message", visible(log.message)]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part);
  }
  return item;
}

function show(logs) {
  const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  for (const log of logs) {
    const item = line(log);
    // What was missed for a while is listed behind what is younger; it goes where it belongs.
    let before = null;
    for (let last = list.lastElementChild; last?.dataset.key > item.dataset.key; last = last.previousElementSibling) before = last;
    list.insertBefore(item, before);
  }
  while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}

function note(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.dataset.key = list.lastElementChild?.dataset.key ?? "";
  item.textContent = text;
  list.append(item);
}

document.getElementById("level").addEventListener("change", (event) => event.target.form.submit());

new RunLogs("/logs", { flow_run_id: list.dataset.run, since: "365d", level: list.dataset.level }, {
  logs: (logs) => (paused ? waiting.push(...logs) : show(logs)),
  status: (text) => (status.textContent = text),
  gap: (frame) => note(frame.text || "The stream has a gap; it is being filled."),
  state: (frame) => (document.getElementById("state").textContent = frame.state_name || ""),
  error: (frame) => note(frame.text),
});

pauseButton.addEventListener("click", () => {
  paused = !paused;
  pauseButton.setAttribute("aria-pressed", String(paused));
  pauseButton.textContent = paused ? "Go on" : "Pause";
  if (!paused) {
    show(waiting);
    waiting = [];
  }
});
const asText = () => [...list.children].filter((item) => texts.has(item)).map((item) => texts.get(item)).join("\n");
document.getElementById("copy").addEventListener("click", () => navigator.clipboard.writeText(asText()));
document.getElementById("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([asText() + "\n"], { type: "text/plain" }));
  link.download = list.dataset.name.replace(/[^A-Za-z0-9._-]/g, "_") + ".log";
  link.click();
  URL.revokeObjectURL(link.href);
});
