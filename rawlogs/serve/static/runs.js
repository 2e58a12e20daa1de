// The choice of runs: search, the list, and what is chosen. Talks to /api/runs. Names are as hostile as log text.

import { escapeLine } from "./logstream.js";

const LOOK_EVERY = 10_000;
const TYPING = 250;

export class RunChooser {
  /** listeners: { change(ids), answer(body) }. `ask(path)` fetches JSON. */
  constructor(byId, ask, listeners) {
    this.chosen = new Set();
    this.known = new Map();
    this._list = byId("runs");
    this._note = byId("runs-note");
    this._choice = byId("choice-text");
    this._clear = byId("choice-clear");
    this._fields = { name: byId("run-name"), state: byId("run-state"), deployment: byId("run-deployment") };
    this._ask = ask;
    this._listeners = listeners;
    this._asked = 0;
    this._items = new Map(); // run id -> its list item: a box that is being pressed is never replaced
    this._timer = null;
    for (const field of Object.values(this._fields)) field.addEventListener("input", () => this._soon());
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.look();
    });
    this._clear.addEventListener("click", () => this.choose([]));
    this._list.addEventListener("change", (event) => {
      const chosen = new Set(this.chosen);
      if (event.target.checked) chosen.add(event.target.value);
      else chosen.delete(event.target.value);
      this.choose(chosen);
    });
    setInterval(() => document.hidden || this.look(), LOOK_EVERY);
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  /** Choose runs by id; told to `change`. */
  choose(ids) {
    this.chosen = new Set(ids);
    this._draw(this._found ?? []);
    this._listeners.change([...this.chosen]);
  }

  /** A state that the stream told of. */
  setState(id, state, stateName) {
    const run = this.known.get(id);
    if (!run || run.state_name === stateName) return;
    run.state = state;
    run.state_name = stateName;
    this._draw(this._found ?? []);
  }

  _soon() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.look(), TYPING);
  }

  async look() {
    const number = ++this._asked;
    const query = new URLSearchParams();
    for (const [name, field] of Object.entries(this._fields)) if (field.value.trim()) query.set(name, field.value.trim());
    for (const id of this.chosen) query.append("id", id);
    try {
      const body = await this._ask(`api/runs?${query}`);
      if (number !== this._asked) return; // an older question, answered late
      for (const run of [...body.runs, ...body.chosen]) this.known.set(run.id, run);
      this._found = body.runs;
      this._draw(body.runs);
      const found = body.runs.length ? "" : "No run matches.";
      this._note.textContent = body.more ? "The newest are shown; narrow the search for others." : found;
      this._listeners.answer(body);
    } catch (error) {
      if (number === this._asked) this._note.textContent = escapeLine(error.message);
    }
  }

  _draw(found) {
    const above = [...this.chosen].map((id) => this.known.get(id) ?? { id, name: id.slice(0, 8) });
    const rows = [...above, ...found.filter((run) => !this.chosen.has(run.id))];
    const count = this.chosen.size;
    this._choice.textContent = count ? `${count} ${count === 1 ? "run" : "runs"} chosen` : "All runs";
    this._clear.hidden = !count;
    const items = rows.map((run) => this._item(run));
    const ids = new Set(rows.map((run) => run.id));
    for (const [id, row] of this._items) {
      if (ids.has(id)) continue;
      row.item.remove();
      this._items.delete(id);
    }
    const focused = document.activeElement?.closest?.("#runs") ? document.activeElement : null;
    let next = this._list.firstChild;
    for (const item of items) {
      if (item === next) next = next.nextSibling;
      else this._list.insertBefore(item, next);
    }
    if (focused !== document.activeElement) focused?.focus();
  }

  _item(run) {
    const drawn = JSON.stringify([run, this.chosen.has(run.id)]);
    let row = this._items.get(run.id);
    if (!row) {
      row = { item: make("li"), label: make("label"), box: make("input"), drawn: "" };
      row.box.type = "checkbox";
      row.box.value = run.id;
      row.label.append(row.box);
      row.item.append(row.label);
      this._items.set(run.id, row);
    }
    if (row.drawn !== drawn) this._fill(row, run);
    row.drawn = drawn;
    return row.item;
  }

  _fill({ item, label, box }, run) {
    box.checked = this.chosen.has(run.id);
    const chip = make("span", "chip", run.state_name ?? "");
    chip.dataset.state = run.state ?? "";
    const under = make("span", "under");
    const where = escapeLine([run.flow, run.deployment].filter(Boolean).join("/"));
    under.append(make("span", "", where || "\u00a0"), began(run));
    label.title = [escapeLine(run.name), where, run.subflow ? "a subflow" : ""].filter(Boolean).join("\n");
    while (box.nextSibling) box.nextSibling.remove();
    label.append(make("span", "name", run.name), run.state_name ? chip : "", under);
    while (label.nextSibling) label.nextSibling.remove();
    if (/^https?:\/\//.test(run.page ?? "")) item.append(uiLink(run));
  }
}

function uiLink(run) {
  const link = make("a", "ui", "↗");
  link.href = run.page;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.title = "In Prefect's own UI";
  link.setAttribute("aria-label", `${escapeLine(run.name)} in Prefect's own UI`);
  return link;
}

function began(run) {
  const element = make("time");
  if (!run.began) return element;
  const at = new Date(run.began);
  element.dateTime = run.began;
  const today = at.toDateString() === new Date().toDateString();
  element.textContent = today
    ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })
    : at.toLocaleDateString([], { month: "short", day: "numeric" });
  element.title = at.toLocaleString();
  return element;
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = escapeLine(text);
  return element;
}
