// A stream of Prefect logs in a browser: connect, resume, de-duplicate, keep in order, pause, copy, download.
// It knows the event stream of rawlogs.relay (`log`, `gap`, `state`, `end`; ids are cursors) and nothing of a
// page, so that other pages can use it. No log text ever becomes markup here.

/** How many logs a LogStore keeps, and how many characters of their messages: what comes first. */
export const MOST_LOGS = 100_000;
export const MOST_CHARACTERS = 64_000_000;

const FLUSH_EVERY = 50; // milliseconds: one batch a frame or three is all that an eye can use
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

/**
 * The connection. The browser's own EventSource reconnects with Last-Event-ID; where it gives up (an HTTP error),
 * or where the network came back, this opens a new one with the last cursor in the URL.
 *
 * listeners: { logs(batch), status(status), gap(fact), state(fact), end(fact), paused(waiting) }, all optional.
 * cursorParameter: null for a server that does not take one; it is then asked for everything anew, and a LogStore
 * leaves out what it has.
 * A status is one of "connecting", "open", "lost", "offline", "refused", "ended", "closed".
 */
export class LogStream {
  constructor(url, listeners = {}, { cursorParameter = "last_event_id", mostWaiting = MOST_LOGS } = {}) {
    this.url = url;
    this.status = "closed";
    this.cursor = null;
    this.paused = false;
    this._listeners = listeners;
    this._cursorParameter = cursorParameter;
    this._mostWaiting = mostWaiting;
    this._waiting = [];
    this._source = null;
    this._timer = null;
    this._retry = null;
    this._tries = 0;
    this._onOffline = () => this._lose("offline");
    this._onOnline = () => this._connect();
  }

  open() {
    window.addEventListener("offline", this._onOffline);
    window.addEventListener("online", this._onOnline);
    this._connect();
    return this;
  }

  close(status = "closed") {
    window.removeEventListener("offline", this._onOffline);
    window.removeEventListener("online", this._onOnline);
    this._drop();
    this._flush();
    this._say(status);
  }

  /** Logs that come while paused wait here: as many as a store keeps, the newest. */
  pause() {
    this._flush();
    this.paused = true;
    this._tell("paused", this._waiting.length);
  }

  resume() {
    this.paused = false;
    this._flush();
  }

  get waiting() {
    return this._waiting.length;
  }

  _connect() {
    this._drop();
    if (!navigator.onLine) return this._say("offline");
    this._say(this._tries || this.cursor !== null ? "lost" : "connecting");
    const url = new URL(this.url, document.baseURI);
    if (this.cursor !== null && this._cursorParameter) url.searchParams.set(this._cursorParameter, this.cursor);
    const source = new EventSource(url);
    this._source = source;
    source.addEventListener("open", () => {
      this._tries = 0;
      this._say("open");
    });
    source.addEventListener("error", () => {
      if (source !== this._source) return;
      if (source.readyState === EventSource.CLOSED) this._again();
      else this._say(navigator.onLine ? "lost" : "offline");
    });
    source.addEventListener("log", (event) => source === this._source && this._take(event));
    for (const name of ["gap", "state"]) {
      source.addEventListener(name, (event) => {
        if (source !== this._source) return;
        this._remember(event);
        this._tell(name, parse(event.data) ?? {});
      });
    }
    source.addEventListener("end", (event) => {
      if (source !== this._source) return;
      this._remember(event);
      const fact = parse(event.data) ?? {};
      // A server that stops says so too; that end is only the connection's.
      if (fact.again) return this._again();
      this.close("ended");
      this._tell("end", fact);
    });
  }

  _take(event) {
    this._remember(event);
    const log = parse(event.data);
    if (log === null || typeof log.id !== "string") return;
    this._waiting.push(log);
    if (this._waiting.length > this._mostWaiting * 1.1) this._waiting.splice(0, this._waiting.length - this._mostWaiting);
    if (this.paused) this._timer ??= setTimeout(() => this._countWaiting(), 4 * FLUSH_EVERY);
    else this._timer ??= setTimeout(() => this._flush(), FLUSH_EVERY);
  }

  _countWaiting() {
    this._timer = null;
    if (this.paused) this._tell("paused", this._waiting.length);
    else this._flush();
  }

  _flush() {
    clearTimeout(this._timer);
    this._timer = null;
    if (this.paused || !this._waiting.length) return;
    const batch = this._waiting;
    this._waiting = [];
    this._tell("logs", batch);
  }

  _remember(event) {
    if (event.lastEventId) this.cursor = event.lastEventId;
  }

  _lose(status) {
    this._drop();
    this._say(status);
  }

  /** A new EventSource after a while; a "refused" one is tried again too, as servers come back. */
  _again() {
    this._drop();
    this._say(navigator.onLine ? "refused" : "offline");
    const longest = Math.min(FIRST_WAIT * 2 ** this._tries++, LONGEST_WAIT);
    this._retry = setTimeout(() => this._connect(), longest * (0.5 + Math.random() / 2));
  }

  _drop() {
    clearTimeout(this._retry);
    this._source?.close();
    this._source = null;
  }

  _say(status) {
    if (status === this.status) return;
    this.status = status;
    this._tell("status", status);
  }

  _tell(name, value) {
    this._listeners[name]?.(value);
  }
}

/**
 * Logs by id, each once, in the order of their timestamps; as they came where those are equal. When it is full, the
 * oldest go, and what is older than they were is not taken any more: so a resumed stream repeats nothing.
 */
export class LogStore {
  constructor({ mostLogs = MOST_LOGS, mostCharacters = MOST_CHARACTERS } = {}) {
    this.mostLogs = mostLogs;
    this.mostCharacters = mostCharacters;
    this.clear();
  }

  clear() {
    this.logs = [];
    this.characters = 0;
    this.dropped = 0;
    this._ids = new Set();
    this._floor = "";
    this._atFloor = new Set();
  }

  /** The new ones of a batch, and the oldest, `dropped` for them; `late`: some were put in between others. */
  add(batch) {
    const added = [];
    let late = false;
    for (const log of batch) {
      if (this._ids.has(log.id)) continue;
      log.key = sortKey(log.timestamp);
      if (log.key < this._floor || (log.key === this._floor && this._atFloor.has(log.id))) continue;
      this._ids.add(log.id);
      this.characters += size(log);
      late = insert(this.logs, log) || late;
      added.push(log);
    }
    const dropped = this._trim();
    return { added: dropped.length ? added.filter((log) => this._ids.has(log.id)) : added, dropped, late };
  }

  _trim() {
    const { logs } = this;
    if (logs.length <= this.mostLogs && this.characters <= this.mostCharacters) return [];
    // Some room at once: taking one from the front of a long array for each that comes would be slow.
    const room = Math.floor(this.mostLogs / 100);
    let count = 0;
    while (
      count < logs.length - 1 &&
      (logs.length - count > this.mostLogs - room || this.characters > this.mostCharacters * 0.99)
    ) {
      this.characters -= size(logs[count]);
      count += 1;
    }
    const dropped = logs.splice(0, count);
    const floor = dropped[count - 1].key;
    // Of the logs of that one moment some may stay: those that went are known by their ids.
    if (floor !== this._floor || this._atFloor.size > this.mostLogs) this._atFloor.clear();
    this._floor = floor;
    for (const log of dropped) {
      this._ids.delete(log.id);
      if (log.key === floor) this._atFloor.add(log.id);
    }
    this.dropped += count;
    return dropped;
  }
}

/** Puts a log at its place in a sorted list; whether that was not the end. */
export function insert(logs, log) {
  let place = logs.length;
  if (!place || logs[place - 1].key <= log.key) {
    logs.push(log);
    return false;
  }
  let low = 0;
  while (low < place) {
    const middle = (low + place) >> 1;
    if (logs[middle].key <= log.key) low = middle + 1;
    else place = middle;
  }
  logs.splice(place, 0, log);
  return true;
}

/** Timestamps in UTC as texts that sort as the moments do: with all six digits, written or not. */
function sortKey(timestamp) {
  const [seconds, fraction = ""] = String(timestamp).replace(/Z$|\+00:00$/, "").split(".");
  return `${seconds}.${fraction.padEnd(6, "0")}`;
}

function size(log) {
  return log.message.length + 200; // 200: what a log costs beside its message, roughly
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

// What a log may not do to the screen it is read on; the same characters as in rawlogs.output.escape.
const HIDDEN =
  "\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb" +
  "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e007f}\\ud800-\\udfff" +
  // What counts as a letter or a sign, and shows nothing.
  "\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u2800\\u3164\\uffa0\\ufe00-\\ufe0d\\u{16fe4}\\u{1d159}\\u{e0100}-\\u{e01ef}";
const EMOJI =
  "\\xa9\\xae\\u203c\\u2049\\u2122\\u2139\\u2194-\\u21aa\\u231a-\\u23ff\\u24c2\\u25aa-\\u27bf\\u2934\\u2935\\u2b05-\\u2b55" +
  "\\u3030\\u303d\\u3297\\u3299\\u{1f000}-\\u{1faff}";
const SELECTORS = `(?<![${EMOJI}])[\\ufe0e\\ufe0f](?!\\u20e3)|(?<![\\u1800-\\u18aa])[\\u180b-\\u180d\\u180f]`;
const IN_TEXT = new RegExp(`[\\x00-\\x08\\x0b-\\x1f${HIDDEN}]|${SELECTORS}`, "gu");
const IN_LINE = new RegExp(`[\\x00-\\x1f${HIDDEN}]|${SELECTORS}`, "gu");
/** For split(): every second piece is a character that has to be written out. */
export const HARMFUL = new RegExp(`([\\x00-\\x1f${HIDDEN}]|${SELECTORS})`, "u");
const SHORT = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A harmful character as it is shown: \x1b, \u202e. */
export function writtenOut(character) {
  if (character in SHORT) return SHORT[character];
  const code = character.codePointAt(0);
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

/** Text of several lines made harmless; newlines and tabs stay. */
export function escapeText(text) {
  return text.replaceAll("\r\n", "\n").replace(IN_TEXT, writtenOut);
}

/** Text that stays on one line made harmless. */
export function escapeLine(text) {
  return text.replace(IN_LINE, writtenOut);
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** A moment in the reader's own time zone: the time of day, or with the date and the zone. */
export function localTime(timestamp, { full = false } = {}) {
  const at = new Date(timestamp);
  if (Number.isNaN(at.getTime())) return String(timestamp);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
  if (!full) return time;
  const offset = -at.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time} ${zone}`;
}

/** One log as a line of text, harmless to a terminal as well; `who` names its run or task. */
export function asText(log, who = log.name) {
  const message = escapeText(log.message).replaceAll("\n", "\n    ");
  return `${localTime(log.timestamp, { full: true })} ${log.level_name.padEnd(8)} ${escapeLine(who)} | ${message}\n`;
}

/** One log as a line of JSON, as the stream gave it. */
export function asJson(log) {
  const { key, ...fields } = log;
  return JSON.stringify(fields).replace(IN_LINE, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${pad(character.charCodeAt(i).toString(16), 4)}`).join(""),
  ) + "\n";
}

/** Puts a text into the clipboard; false where the browser does not allow it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text);
  }
}

// Without https and not on localhost there is no navigator.clipboard.
function copyOldWay(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "visually-hidden";
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/** Offers texts, joined, as a file to save. */
export function download(name, parts, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
