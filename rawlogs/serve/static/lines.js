// The list of lines: as many elements as fit the window, however many lines there are. All text is textContent.

import { escapeLine, HARMFUL, insert, localTime, writtenOut } from "./logstream.js";

const ROW = 22; // pixels of one row of text; --row in page.css
const SPARE = 8; // rows drawn above and below the window
const MOST_ROWS = 12; // of one wrapped line; the details show the rest
const LONGEST = 1_000; // characters of a message in the list; the details show the rest

export class LineView {
  /** listeners: { select(log), follow(on) }; `who(log)` names a log's run or task. */
  constructor(list, space, who, listeners) {
    this.rows = [];
    this.following = true;
    this.selected = null;
    this.needle = "";
    this._list = list;
    this._space = space;
    this._who = who;
    this._listeners = listeners;
    this._slots = [];
    this._drawn = 0;
    this._lastTop = 0;
    this._version = 0;
    this._wrapped = false;
    this._columns = 0; // characters in one row of a message
    this._above = 0; // rows above the message, where it has rows of its own
    this._offsets = null; // where each line begins, in rows; only while lines are wrapped
    list.addEventListener("scroll", () => this._onScroll(), { passive: true });
    list.addEventListener("click", (event) => {
      const index = Number(event.target.closest(".line")?.dataset.index ?? -1);
      if (index >= 0) this.select(index, { open: true });
    });
    new ResizeObserver(() => {
      this._stay();
      this.draw();
    }).observe(list);
  }

  /** Other rows, as after a new filter: the chosen line, or else the topmost one, stays where it is. */
  setRows(rows, needle = "") {
    this._onScroll();
    const anchor = this.selected ?? this.rows[this._top()];
    const offset = anchor ? this._at(this.indexOf(anchor)) - this._list.scrollTop : 0;
    this.rows = rows;
    this._offsets = null;
    this.needle = needle;
    this._version += 1;
    this._size();
    if (!this.following && anchor) this._list.scrollTop = this._at(place(rows, anchor.key)) - offset;
    this.draw();
  }

  /** Lines that came (in any order), after the `dropped` oldest have gone. */
  take(added, dropped) {
    this._onScroll();
    const top = this.rows[this._top()];
    const offset = this._list.scrollTop - this._at(this._top());
    if (dropped.length) {
      const left = new Set(dropped);
      let gone = 0;
      while (gone < this.rows.length && left.has(this.rows[gone])) gone += 1;
      this.rows.splice(0, gone);
      if (left.has(this.selected)) this._choose(null);
    }
    for (const log of added) insert(this.rows, log);
    this._offsets = null;
    this._size();
    if (top && !this.following) this._list.scrollTop = this._at(place(this.rows, top.key)) + offset;
    this.draw();
  }

  /** Break long messages into several rows, or show what fits one row of each. */
  wrap(on) {
    this._list.classList.toggle("wrapped", on);
    this._wrapped = on;
    this._layOut();
  }

  /** Draw again, in the next frame; `anew`: names have come, or the day has changed. */
  draw({ anew = false } = {}) {
    if (anew) this._version += 1;
    this._drawn ||= requestAnimationFrame(() => this._draw());
  }

  follow(on) {
    if (on !== this.following) {
      this.following = on;
      this._listeners.follow?.(on);
    }
    if (on) this.draw();
  }

  /** Choose a row by its number; it scrolls into sight. */
  select(index, { open = false } = {}) {
    if (!this.rows.length) return;
    const at = Math.min(Math.max(index, 0), this.rows.length - 1);
    if (at < this.rows.length - 1) this.follow(false);
    const { scrollTop, clientHeight } = this._list;
    if (this._at(at) < scrollTop) this._list.scrollTop = this._at(at);
    else if (this._at(at + 1) > scrollTop + clientHeight) this._list.scrollTop = this._at(at + 1) - clientHeight;
    this._choose(this.rows[at], open);
    this.draw();
  }

  unselect() {
    this._choose(null);
    this.draw();
  }

  /** Choose another line relative to the chosen one, or to what is in sight. */
  move(by) {
    const index = this.selected ? this.indexOf(this.selected) : -1;
    if (index >= 0) return this.select(index + by);
    this.select(by > 0 ? this._top() : Math.min(this._top() + this.page, this.rows.length) - 1);
  }

  /** The next line at or above a level, in that direction; whether there is one. */
  moveTo(level, step) {
    const from = this.selected ? this.indexOf(this.selected) + step : step > 0 ? 0 : this.rows.length - 1;
    for (let i = from; i >= 0 && i < this.rows.length; i += step) {
      if (this.rows[i].level >= level) {
        this.select(i);
        return true;
      }
    }
    return false;
  }

  /** How many whole rows fit the window. */
  get page() {
    return Math.max(1, Math.floor(this._list.clientHeight / ROW));
  }

  indexOf(log) {
    let index = place(this.rows, log.key);
    while (index < this.rows.length && this.rows[index] !== log && this.rows[index].key === log.key) index += 1;
    return this.rows[index] === log ? index : -1;
  }

  _top() {
    const row = Math.floor(this._list.scrollTop / ROW);
    if (!this._wrapped) return row;
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this._at(middle + 1) <= row * ROW) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How far down line `index` begins, in pixels; that of the number of lines is where the last one ends. */
  _at(index) {
    if (!this._wrapped) return index * ROW;
    if (!this._offsets) {
      this._offsets = new Int32Array(this.rows.length + 1);
      for (const [i, log] of this.rows.entries()) this._offsets[i + 1] = this._offsets[i] + this._rowsOf(log);
    }
    return this._offsets[index] * ROW;
  }

  _rowsOf(log) {
    const rows = Math.ceil(width(log.message) / (this._columns || 80));
    return this._above + Math.min(Math.max(rows, 1), MOST_ROWS);
  }

  // After a change of the width, or of the switch: the topmost line stays where it is.
  _layOut() {
    const top = this.rows[Math.max(0, Math.min(this._top(), this.rows.length - 1))];
    this._offsets = null;
    this._version += 1;
    for (const slot of this._slots) slot.index = -1;
    this._size();
    if (top && !this.following) this._list.scrollTop = this._at(this.indexOf(top));
    this.draw();
  }

  // What a drawn line shows about the room that messages have.
  _measure() {
    const slot = this._slots.find(({ element }) => !element.hidden);
    if (!this._wrapped || !slot) return;
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = getComputedStyle(slot.text).font;
    const columns = Math.max(10, Math.floor(slot.text.clientWidth / pen.measureText("0").width));
    const above = slot.text.offsetTop >= ROW ? 1 : 0;
    if (columns === this._columns && above === this._above) return;
    this._columns = columns;
    this._above = above;
    this._layOut();
  }

  _size() {
    this._space.style.height = `${this._at(this.rows.length)}px`;
    this._stay();
  }

  // Fewer rows or a taller window move the list back by themselves. Told of it only in the next frame, when more rows
  // may have come, one would take that for the reader's scrolling back; so the end is kept at once, not when drawn.
  _stay() {
    if (!this.following) return;
    this._list.scrollTop = this._end();
    this._lastTop = this._list.scrollTop;
  }

  // Not by scrollHeight: lines drawn before some went may still stand below.
  _end() {
    return Math.max(0, this._at(this.rows.length) - this._list.clientHeight);
  }

  _choose(log, open = false) {
    if (log === this.selected && !open) return;
    this.selected = log;
    this._listeners.select?.(log, open);
  }

  _onScroll() {
    const { scrollTop } = this._list;
    const atEnd = scrollTop >= this._end() - 2;
    if (this.following ? !atEnd && scrollTop < this._lastTop - 1 : atEnd && scrollTop > this._lastTop) this.follow(atEnd);
    this._lastTop = scrollTop;
    this.draw();
  }

  _draw() {
    this._drawn = 0;
    const list = this._list;
    this._stay();
    const first = Math.max(0, this._top() - SPARE);
    const wanted = Math.min(this.rows.length, first + this.page + 2 * SPARE) - first;
    while (this._slots.length < wanted) this._slots.push(makeSlot(this._slots.length, this._space));
    let active = "";
    // Row i always takes slot i modulo their number: scrolling by one row writes one row.
    const count = this._slots.length;
    const used = new Set();
    for (let index = first; index < first + wanted; index += 1) {
      const slot = this._slots[index % count];
      used.add(slot);
      this._fill(slot, index);
      if (slot.log === this.selected) active = slot.element.id;
    }
    this._measure();
    for (const slot of this._slots) if (!used.has(slot)) hide(slot);
    if (active) list.setAttribute("aria-activedescendant", active);
    else list.removeAttribute("aria-activedescendant");
  }

  _fill(slot, index) {
    const log = this.rows[index];
    const { element } = slot;
    if (slot.index !== index || slot.top !== this._at(index)) {
      slot.index = index;
      slot.top = this._at(index);
      element.dataset.index = index;
      element.style.transform = `translateY(${this._at(index)}px)`;
      element.style.height = this._wrapped ? `${this._at(index + 1) - this._at(index)}px` : "";
      element.setAttribute("aria-posinset", index + 1);
    }
    element.hidden = false;
    element.setAttribute("aria-setsize", this.rows.length);
    element.setAttribute("aria-selected", log === this.selected);
    if (slot.log === log && slot.version === this._version) return;
    slot.log = log;
    slot.version = this._version;
    element.dataset.level = levelWord(log.level);
    element.dataset.id = log.id;
    slot.time.textContent = localTime(log.timestamp);
    slot.time.dateTime = log.timestamp;
    slot.level.textContent = log.level_name;
    slot.who.textContent = escapeLine(this._who(log));
    slot.who.title = slot.who.textContent;
    fillMessage(slot.text, log.message, this.needle);
  }
}

/** How many characters wide the first line of a message is, as it is shown; some characters take two. */
function width(message) {
  const end = message.search(/[\r\n]/);
  const first = end < 0 ? message : message.slice(0, end);
  const text = escapeLine(first.length > LONGEST ? first.slice(0, LONGEST) : first);
  // eslint-disable-next-line no-control-regex
  const wide = /^[\x00-\xff]*$/.test(text) ? 0 : (text.match(/[\u1100-\uffdc]/g) ?? []).length;
  return text.length + wide + (end < 0 ? 0 : 12);
}

/** The first place whose key is not smaller. */
function place(rows, key) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function makeSlot(number, space) {
  const element = document.createElement("div");
  element.className = "line";
  element.id = `line-${number}`;
  element.setAttribute("role", "option");
  const parts = { time: "time", level: "span", who: "span", text: "span" };
  const slot = { element, index: -1, log: null, version: -1 };
  for (const [name, tag] of Object.entries(parts)) {
    slot[name] = document.createElement(tag);
    slot[name].className = name;
    element.append(slot[name], name === "text" ? "" : " ");
  }
  space.append(element);
  return slot;
}

function hide(slot) {
  slot.element.hidden = true;
  slot.log = null;
}

export function levelWord(level) {
  if (level >= 50) return "critical";
  if (level >= 40) return "error";
  if (level >= 30) return "warning";
  return level >= 20 ? "info" : "debug";
}

/** The first line of a message, the needle marked, and how much more there is. */
function fillMessage(element, message, needle) {
  const end = message.search(/[\r\n]/);
  const first = end < 0 ? message : message.slice(0, end);
  fillText(element, first.length > LONGEST ? `${first.slice(0, LONGEST)}…` : first, needle);
  const more = end < 0 ? 0 : message.trimEnd().split("\n").length - 1;
  if (more > 0) element.append(" ", piece("span", "more", `+${more} ${more === 1 ? "line" : "lines"}`));
}

/** Text with its hidden characters written out and dimmed, and the needle marked; newlines stay where `lines`. */
export function fillText(element, text, needle = "", { lines = false } = {}) {
  element.replaceChildren();
  for (const [index, part] of text.split(HARMFUL).entries()) {
    if (!part) continue;
    if (lines && (part === "\n" || part === "\t")) element.append(part);
    else if (index % 2) element.append(piece("span", "esc", writtenOut(part)));
    else appendMarked(element, part, needle);
  }
}

function appendMarked(element, text, needle) {
  const pattern = needle && needlePattern(needle);
  if (!pattern) return element.append(text);
  let from = 0;
  for (const match of text.matchAll(new RegExp(pattern, "giu"))) {
    element.append(text.slice(from, match.index), piece("mark", "", match[0]));
    from = match.index + match[0].length;
  }
  element.append(text.slice(from));
}

/** A text to look for, literally, as the source of a regular expression. */
export function needlePattern(needle) {
  return needle.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

function piece(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
