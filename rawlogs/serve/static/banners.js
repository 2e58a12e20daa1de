// What is wrong, or was, above the lines: one banner for each cause, said aloud when it comes.

import { escapeLine } from "./logstream.js";

const BRIEFLY = 8_000;

export class Banners {
  constructor(element) {
    this._element = element;
    this._shown = new Map();
  }

  /** weight: "warn", "bad" or "fine" (which leaves by itself); `closable`: the reader can send it away. */
  show(cause, text, { weight = "warn", closable = false } = {}) {
    const known = this._shown.get(cause);
    if (known?.text === text) return;
    this.hide(cause);
    const banner = document.createElement("div");
    banner.className = "banner";
    banner.dataset.cause = cause;
    banner.dataset.weight = weight;
    const words = document.createElement("span");
    words.textContent = escapeLine(text);
    banner.append(words);
    if (closable) {
      const close = document.createElement("button");
      close.type = "button";
      close.className = "link";
      close.textContent = "Dismiss";
      close.addEventListener("click", () => this.hide(cause));
      banner.append(close);
    }
    const timer = weight === "fine" ? setTimeout(() => this.hide(cause), BRIEFLY) : null;
    this._shown.set(cause, { banner, text, timer });
    this._element.append(banner);
  }

  hide(cause) {
    const known = this._shown.get(cause);
    if (!known) return;
    clearTimeout(known.timer);
    known.banner.remove();
    this._shown.delete(cause);
  }

  has(cause) {
    return this._shown.has(cause);
  }

  /** Hide those whose cause begins so; all, without a word. */
  clear(start = "") {
    for (const cause of [...this._shown.keys()]) if (cause.startsWith(start)) this.hide(cause);
  }
}
