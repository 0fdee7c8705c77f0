// Parts that views are made of.

import { h, s } from "./dom.js";
import { ago, clock, dateTime } from "./format.js";
import { t, word } from "./i18n.js";
import { say } from "./sentences.js";

const SHAPES = {
  healthy: () => s("circle", { cx: 6, cy: 6, r: 5 }),
  degraded: () => s("path", { d: "M6 0.8 11.6 11H0.4Z" }),
  unhealthy: () => s("path", { d: "M1 1h10v10H1Z" }),
  unknown: () => s("path", { d: "M6 0.5 11.5 6 6 11.5 0.5 6Z" }),
};

/** The shape of a condition: circle, triangle, square, diamond. */
export const shape = (condition) =>
  s("svg", { viewBox: "0 0 12 12", class: `shape ${condition}`, "aria-hidden": "true" }, (SHAPES[condition] || SHAPES.unknown)());

export const status = (condition, words = word("condition", condition)) =>
  h("span", { class: `status ${condition}` }, shape(condition), words);

export const chip = (text, kind = "", props = {}) => h("span", { class: `chip ${kind}`, ...props }, text);

export function card(title, { right = null, footer = null, key = null, about = null } = {}, ...body) {
  return h(
    "section",
    { class: "card", "data-key": key },
    title && h("header", null, h("h2", null, title), about && h("span", { class: "faint small" }, about), right && h("div", { class: "right" }, right)),
    ...body,
    footer && h("footer", null, footer),
  );
}

export const body = (...children) => h("div", { class: "body" }, ...children);

/** Columns: {head, cell(row), class}. Rows with `link(row)` are opened by a click or Enter. */
export function table(columns, rows, { key = (row, index) => index, link = null, label = "" } = {}) {
  const shown = columns.filter(Boolean);
  return h(
    "div",
    { class: "table-box" },
    h(
      "table",
      { "aria-label": label || null },
      h("thead", null, h("tr", null, shown.map((each) => h("th", { class: each.class, title: each.title }, each.head)))),
      h("tbody", null, rows.map((row, index) => tableRow(shown, row, key(row, index), link))),
    ),
  );
}

function tableRow(columns, row, key, link) {
  const target = link && link(row);
  const open = (event) => {
    if (event.target.closest("a, button, input, select") || String(getSelection()).length) return;
    event.currentTarget.querySelector("a.name")?.click();
  };
  const props = target
    ? { "data-row": true, tabindex: -1, onclick: open, onkeydown: (event) => event.key === "Enter" && open(event) }
    : {};
  return h("tr", { "data-key": `row ${key}`, ...props }, columns.map((each) => h("td", { class: each.class }, each.cell(row))));
}

/** What stands where there is nothing yet: what it is, and what to do next. */
export const empty = (title, text, ...next) =>
  h("div", { class: "empty" }, h("b", null, title), text && h("p", { class: "lead" }, text), ...next);

/** A command to copy. */
export function command(text) {
  const copy = async (event) => {
    const button = event.currentTarget;
    await navigator.clipboard?.writeText(text);
    button.textContent = t("copied");
    setTimeout(() => (button.textContent = t("copy")), 1200);
  };
  return h(
    "span",
    { class: "command", "data-key": `command ${text}` },
    h("code", null, text),
    h("button", { class: "plain", type: "button", onclick: copy, "aria-label": `${t("copy")}: ${text}` }, t("copy")),
  );
}

/** An error of the service: what was wrong and what to do. */
export const fault = (error) =>
  h(
    "div",
    { class: "fault stack", role: "alert" },
    h("b", null, error.reason === "NOT_REACHED" ? t("error.not_reached") : say(error.message) || t("error.unknown")),
    error.fix && h("p", null, say(error.fix)),
  );

export const time = (at) => h("time", { title: `${dateTime(at)} ${clock(at)}`, class: "nowrap" }, ago(at));

export const facts = (...pairs) =>
  h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value, small]) =>
    h("div", { class: "fact" }, h("dt", null, name), h("dd", null, value, small && [" ", h("small", null, small)]))));

export const pairs = (object) =>
  h("dl", { class: "pairs" }, Object.entries(object).flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

/** At most `shown` of the rows, and a button for more: a list of 10,000 is never drawn at once. */
export function paged(rows, size, shownOf, draw) {
  const shown = shownOf.get() || size;
  const more = rows.length - shown;
  return [
    draw(rows.slice(0, shown)),
    more > 0 &&
      h("div", { class: "more" }, h("button", { type: "button", onclick: () => shownOf.set(shown + size) }, t("more", { n: Math.min(size, more), left: more }))),
  ];
}

/** Shares of a whole as a bar: [{share, tone, label}]. */
export function shares(parts) {
  let x = 0;
  const whole = parts.reduce((sum, each) => sum + each.share, 0) || 1;
  const rects = parts.map(({ share, tone, label }) => {
    const width = (100 * share) / whole;
    const rect = s("rect", { x, y: 0, width: Math.max(0, width - (parts.length > 1 ? 0.8 : 0)), height: 8, fill: `var(--s${tone})` }, s("title", null, label));
    x += width;
    return rect;
  });
  return h("span", { class: "share" }, s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": parts.map((each) => each.label).join(", ") }, rects));
}

let toastTimer = 0;
export function toast(text) {
  document.querySelector(".toast")?.remove();
  document.body.append(h("div", { class: "toast", role: "status" }, text));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => document.querySelector(".toast")?.remove(), 4000);
}
