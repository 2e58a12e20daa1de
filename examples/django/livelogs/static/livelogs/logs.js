// One run's logs over a WebSocket: reconnects, goes on behind the last frame, shows no log twice. Copy this file.
// The server's side is rawlogs.contrib.django.PrefectLogsConsumer; its closing codes say whether to come back.

const FOR_GOOD = new Set([1000, 4400, 4401, 4403]);
const LONGEST_WAIT = 15_000;

/**
 * on: { logs(list), status(text), gap(frame), state(frame), end(frame), error(frame) }, all optional.
 * A log is the object that Prefect's API shows, with level_name.
 */
export class RunLogs {
  constructor(path, parameters, on = {}) {
    this.url = new URL(path, document.baseURI.replace(/^http/, "ws"));
    for (const [name, value] of Object.entries(parameters)) this.url.searchParams.append(name, value);
    this.on = on;
    this.seen = new Set();
    this.cursor = null;
    this.tries = 0;
    this.done = false;
    window.addEventListener("online", () => this.connect());
    window.addEventListener("offline", () => this.socket?.close());
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    if (this.done || (this.socket && this.socket.readyState <= WebSocket.OPEN)) return;
    this.status(this.cursor === null ? "connecting" : "reconnecting");
    const url = new URL(this.url);
    if (this.cursor !== null) url.searchParams.set("last_event_id", this.cursor);
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => this.status("live");
    socket.onmessage = (message) => {
      this.tries = 0;
      this.take(JSON.parse(message.data));
    };
    socket.onclose = (closed) => {
      if (socket !== this.socket) return;
      this.done = FOR_GOOD.has(closed.code);
      if (this.done) return this.status(closed.code === 1000 ? "ended" : closed.reason || "refused");
      // Full jitter: many pages must not come back at the same moment.
      const wait = Math.random() * Math.min(LONGEST_WAIT, 500 * 2 ** Math.min(this.tries++, 10));
      this.status(navigator.onLine ? "reconnecting" : "offline");
      this.timer = setTimeout(() => this.connect(), wait);
    };
  }

  take(frame) {
    if (frame.id) this.cursor = frame.id;
    if (frame.type === "log") {
      // After a reconnect the server may repeat what it cannot know that we have.
      if (this.seen.has(frame.log.id)) return;
      this.seen.add(frame.log.id);
      this.tell("logs", [frame.log]);
    } else {
      this.tell(frame.type, frame);
    }
  }

  status(text) {
    this.tell("status", text);
  }

  tell(kind, fact) {
    this.on[kind]?.(fact);
  }
}
