// The page of one run: lines, follow, pause, copy, download. Log text only ever becomes text.
import { RunLogs } from "./logs.js";

const MOST_LINES = 20_000;
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const list = document.getElementById("lines");
const status = document.getElementById("status");
const pauseButton = document.getElementById("pause");
const texts = [];
let paused = false;
let waiting = [];

const visible = (text) => text.replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
const time = (stamp) => new Date(stamp).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false,
});

function line(log) {
  const item = document.createElement("li");
  item.dataset.id = log.id;
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
  const lines = document.createDocumentFragment();
  for (const log of logs) {
    texts.push(`${log.timestamp} ${log.level_name} ${log.name} ${log.message}`);
    lines.append(line(log));
  }
  list.append(lines);
  while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
  if (following) list.scrollTop = list.scrollHeight;
}

function note(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = text;
  list.append(item);
}

new RunLogs("/logs", { flow_run_id: list.dataset.run, since: "365d" }, {
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
document.getElementById("copy").addEventListener("click", () => navigator.clipboard.writeText(texts.join("\n")));
document.getElementById("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([texts.join("\n") + "\n"], { type: "text/plain" }));
  link.download = list.dataset.name.replace(/[^A-Za-z0-9._-]/g, "_") + ".log";
  link.click();
  URL.revokeObjectURL(link.href);
});
