// The time line: what changed, the newest first.

import { h } from "../core/dom.js";
import { clock, dateTime, seconds } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { now } from "../core/live.js";
import { card, chip, empty, fault, paged, time } from "../core/parts.js";
import { path } from "../core/router.js";
import { say } from "../core/sentences.js";

const HOUR_S = 3600;
const FOLD_S = 60;
const FEW = 2;
const REPLICAS = new Set(["replica_joined", "replica_left", "restart", "settings"]);
const BAD = new Set(["alert", "serving_failed", "replica_left"]);

/** Of the last hour, and where that is quiet the last ones before it. */
export function changes(live, memory) {
  if (live.events?.error) return card(t("changes"), { key: "changes" }, fault(live.events.error));
  const all = Array.isArray(live.events) ? live.events : [];
  const fresh = all.filter((each) => now() - seconds(each.at) < HOUR_S);
  const shown = fresh.length ? fresh : all.slice(0, 5);
  const about = fresh.length ? t("changes.hour") : all.length ? t("changes.quiet") : null;
  return card(t("changes"), { key: "changes", about, right: h("a", { href: "/alerts" }, t("all")) },
    shown.length
      ? paged(folded(shown), 5, memory("changes"), drawn)
      : empty(t("changes.none"), t("changes.none_text")));
}

export const eventList = (events) => drawn(folded(events));

const drawn = (lines) => h("ol", { class: "events" }, lines.map((each) => (each.parts ? many(each) : line(each))));

/** A restart of the platform is dozens of events: what replicas did within a minute is one line, which opens. */
export function folded(events) {
  const found = [];
  for (const event of events) {
    const group = found.find((each) => each.parts && Math.abs(seconds(each.at) - seconds(event.at)) < FOLD_S);
    if (!REPLICAS.has(event.kind)) found.push(event);
    else if (group) group.parts.push(event);
    else found.push({ at: event.at, parts: [event] });
  }
  return found.flatMap((each) => (each.parts && each.parts.length <= FEW ? each.parts : [each]));
}

function many({ at, parts }) {
  const counts = { "changes.replica_joined": 0, "changes.replica_left": 0, "changes.restart": 0, "changes.settings": 0 };
  for (const { kind } of parts) counts[`changes.${kind}`] += 1;
  const words = Object.entries(counts).filter(([, n]) => n).map(([key, n]) => t(key, { n })).join(", ");
  return h("li", { "data-key": `many ${parts.at(-1).id}` },
    h("time", { class: "num faint" }, clock(at)),
    h("details", null,
      h("summary", null, words, h("p", { class: "small faint line" }, chip(word("kind", "platform")), time(at))),
      h("ul", { class: "plain small" }, parts.map((each) => h("li", { class: "wrap" }, title(each))))));
}

/** Those about one model, of what the page has heard. */
export const changesOf = (live, model) => (Array.isArray(live.events) ? live.events : []).filter((each) => each.labels.model === model);

const line = (event) =>
  h("li", { "data-key": event.id },
    h("time", { class: "num faint", title: `${dateTime(event.at)} ${clock(event.at)}` }, clock(event.at)),
    h("div", null,
      h("p", { class: "wrap" }, title(event)),
      h("p", { class: "small faint line" }, chip(word("kind", event.kind), BAD.has(event.kind) ? "bad" : ""), time(event.at), event.actor && h("span", { class: "wrap" }, event.actor))));

function title(event) {
  const { model, service } = event.labels;
  const link = model ? path("models", model) : service ? "/topology" : null;
  return link ? h("a", { class: "quiet", href: link }, say(event.title)) : say(event.title);
}
