// The names of task runs and subflow runs, which logs do not carry: asked for in flocks, each once.

const FLOCK = 300;
const MOST = 100;
const AGAIN = 10_000;

export class Names {
  /** `ask(path)` fetches JSON; `came()` is called when names have come. */
  constructor(ask, came) {
    this._ask = ask;
    this._came = came;
    this._names = { flow_run: new Map(), task_run: new Map() };
    this._wanted = { flow_run: new Set(), task_run: new Set() };
    this._timer = null;
  }

  /** The name of a run, or the start of its id while it is not known. */
  of(kind, id) {
    const name = this._names[kind].get(id);
    if (name !== undefined) return name || id.slice(0, 8);
    this._names[kind].set(id, "");
    this._wanted[kind].add(id);
    this._timer ??= setTimeout(() => this._fetch(), FLOCK);
    return id.slice(0, 8);
  }

  learn(kind, id, name) {
    this._names[kind].set(id, name);
  }

  async _fetch() {
    const query = new URLSearchParams();
    const asked = [];
    for (const [kind, ids] of Object.entries(this._wanted)) {
      for (const id of [...ids].slice(0, MOST)) {
        query.append(kind, id);
        asked.push([kind, id]);
        ids.delete(id);
      }
    }
    let pause = FLOCK;
    try {
      const found = await this._ask(`api/names?${query}`);
      for (const [kind, id] of asked) this._names[kind].set(id, found[`${kind}s`][id] ?? "");
      this._came();
    } catch {
      for (const [kind, id] of asked) this._wanted[kind].add(id);
      pause = AGAIN;
    }
    const more = this._wanted.flow_run.size + this._wanted.task_run.size;
    this._timer = more ? setTimeout(() => this._fetch(), pause) : null;
  }
}
