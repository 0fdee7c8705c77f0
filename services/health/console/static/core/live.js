// What the service sends as it changes: one value for each topic, and whether news still come.

const SILENCE_MS = 15000;
const AWAY_MS = 60000;

/** topic → newest value. */
export const topics = {};
export const connection = { state: "connecting", since: Date.now(), skew_s: 0 };
const listeners = new Set();
const NAMES = ["clock", "status", "models", "rollouts", "kpis", "alerts", "events"];
let source = null;
let last = Date.now();

export function onChange(listener) {
  listeners.add(listener);
}

/** Open the stream. A tab that nobody looks at gives its connection back: a browser has six for one address. */
export function connect() {
  open();
  window.addEventListener("pagehide", () => source.close());
  let leaving = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(() => (source.close(), (connection.state = "away")), AWAY_MS);
    else if (connection.state === "away") open();
  });
}

function open() {
  last = Date.now();
  source = new EventSource("/api/live");
  for (const name of NAMES) source.addEventListener(name, (event) => receive(name, event.data));
  source.onerror = () => {
    mark("lost");
    // The browser tries again by itself unless it was refused; then we do.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
  };
}

/** Seconds since 1970 as the service's clock has them: this computer's may be wrong. */
export const now = () => Date.now() / 1000 + connection.skew_s;

function receive(name, text) {
  last = Date.now();
  mark("live");
  const value = JSON.parse(text);
  if (name === "clock") connection.skew_s = value - Date.now() / 1000;
  topics[name] = value;
  for (const listener of listeners) listener(name);
}

function mark(state) {
  if (connection.state === state) return;
  if (state === "lost" && connection.state === "connecting") return;
  connection.state = state;
  connection.since = state === "lost" ? last : Date.now();
  for (const listener of listeners) listener("connection");
}

setInterval(() => {
  if (connection.state !== "away" && Date.now() - last > SILENCE_MS) {
    connection.state = connection.state === "connecting" ? "live" : connection.state;
    mark("lost");
  }
}, 2000);
