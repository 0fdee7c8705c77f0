// What users' feedback says of each version: how often it was right, with the interval, and its most frequent mistakes.

import { h, s } from "../core/dom.js";
import { count, number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { body, card, command, empty, table } from "../core/parts.js";

export function qualityCard(name, versions) {
  const title = t("quality");
  if (!versions.length) {
    return card(title, { key: "quality" }, empty(t("quality.none"), t("quality.none_text"), command("lepton feedback give PREDICTION --label cat")));
  }
  return card(title, { key: "quality", about: t("quality.about"), right: h("a", { href: `/feedback?model=${encodeURIComponent(name)}` }, t("quality.source")) },
    table(columns(), versions, { key: (row) => row.version, label: title }),
    confusions(versions[0]),
    trend(versions));
}

const columns = () => [
  { head: t("version"), cell: (row) => h("b", { class: "num" }, `v${row.version}`) },
  { head: t("quality.accuracy"), cell: accuracy },
  { head: t("quality.good"), class: "r", cell: (row) => `${count(row.good)} / ${count(row.bad)}` },
  { head: t("quality.rating"), class: "r", cell: (row) => (Number(row.rated) ? `${number(row.mean_rating)} (${count(row.rated)})` : "–") },
  { head: t("quality.calibration"), class: "r", title: t("quality.calibration_title"), cell: (row) => (Number(row.labelled) ? percent(row.calibration_error) : "–") },
  { head: t("quality.error"), class: "r", cell: (row) => (row.mean_absolute_error ? number(row.mean_absolute_error) : "–") },
  { head: t("quality.texts"), class: "r", cell: (row) => count(row.texts) },
];

/** The share that was right, as a point in its 95 % interval on a line from 0 to 100 %. */
function accuracy(row) {
  const n = Number(row.labelled);
  if (!n) return h("span", { class: "faint" }, "–");
  const share = Number(row.right) / n;
  return h("div", { class: "shares" },
    s("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": percent(share) },
      s("rect", { x: 0, y: 5.5, width: 100, height: 1, fill: "var(--line-strong)" }),
      s("rect", { x: 100 * row.accuracy_low, y: 3.5, width: Math.max(0.5, 100 * (row.accuracy_high - row.accuracy_low)), height: 5, fill: "color-mix(in srgb, var(--s1) 40%, transparent)" }),
      s("rect", { x: 100 * share - 0.8, y: 1, width: 1.6, height: 10, fill: "var(--s1)" })),
    h("span", { class: "small num" }, percent(share), " ", h("span", { class: "faint" }, t("quality.interval", { low: percent(row.accuracy_low, 0), high: percent(row.accuracy_high, 0), n: count(n) }))));
}

function confusions(version) {
  if (!version.confusions.length) return null;
  const most = Number(version.confusions[0].count);
  return body(h("h3", null, t("quality.mistakes", { version: version.version })),
    h("div", { class: "bars" }, version.confusions.slice(0, 8).map((each) =>
      h("div", { class: "bar-row" },
        h("span", { class: "wrap" }, t("quality.mistake", { predicted: each.predicted, label: each.label })),
        s("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { x: 0, y: 3, height: 8, width: (100 * each.count) / most, fill: "var(--s2)" })),
        h("span", { class: "num" }, count(each.count))))));
}

function trend(versions) {
  const days = new Map();
  for (const version of versions) {
    for (const { day, good, bad } of version.trend) {
      const found = days.get(day) || { good: 0, bad: 0 };
      days.set(day, { good: found.good + Number(good), bad: found.bad + Number(bad) });
    }
  }
  if (days.size < 2) return null;
  const found = [...days].sort(([one], [other]) => one.localeCompare(other)).slice(-30);
  const most = Math.max(...found.map(([, each]) => each.good + each.bad));
  const width = 100 / found.length;
  return body(h("h3", null, t("quality.trend")),
    s("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", class: "trend", role: "img", "aria-label": t("quality.trend") }, found.map(([day, { good, bad }], i) => [
      s("rect", { x: i * width + 0.3, width: width - 0.6, y: 40 - (40 * good) / most, height: (40 * good) / most, fill: "var(--s3)" }, s("title", null, `${day.slice(0, 10)}: ${good} / ${bad}`)),
      s("rect", { x: i * width + 0.3, width: width - 0.6, y: 40 - (40 * (good + bad)) / most, height: (40 * bad) / most, fill: "var(--s2)" }, s("title", null, `${day.slice(0, 10)}: ${good} / ${bad}`)),
    ])));
}
