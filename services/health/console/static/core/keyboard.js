// Everything can be reached without a mouse. `?` shows what there is.

import { go } from "./router.js";

export const PLACES = { o: "/", t: "/topology", m: "/models", a: "/alerts", e: "/metrics", r: "/traces", f: "/feedback", l: "/logs" };
let armed = 0;

export function listen(showHelp) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    const key = event.key;
    if (Date.now() - armed < 1500 && key in PLACES) {
      armed = 0;
      event.preventDefault();
      go(PLACES[key]);
    } else if (key === "g") armed = Date.now();
    else if (key === "?") showHelp();
    else if (key === "/") focus(event, "[data-search]");
    else if (key === "j" || key === "k") step(event, key === "j" ? 1 : -1);
  });
}

const typing = (target) => /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);

function focus(event, selector) {
  const found = document.querySelector(selector);
  if (found) {
    event.preventDefault();
    found.focus();
  }
}

function step(event, by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  event.preventDefault();
  const at = rows.indexOf(document.activeElement);
  rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))].focus();
}
