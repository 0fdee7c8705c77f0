// Whether versions are given what they were trained on and answer as they did at first: how far they are, and where.

import { read } from "../core/api.js";
import { h } from "../core/dom.js";
import { count, number, percent } from "../core/format.js";
import { t, word } from "../core/i18n.js";
import { card, chip, command, empty, table } from "../core/parts.js";

const TRAINING = "DRIFT_REFERENCE_TRAINING";
const KINDS = { DRIFT_VERDICT_DRIFTED: "warn" };
const MOST_INPUTS = 12;

/** The versions of which predictions are known; none where health has heard of none. */
export async function readDrift(model, signal) {
  try {
    return (await read("DriftService", "GetDrift", { model }, signal)).versions;
  } catch (error) {
    if (error.status === 404) return [];
    throw error;
  }
}

export function driftCard(name, versions) {
  const rows = versions.flatMap((version) => [
    ...version.comparisons.map((each) => ({ ...each, version: version.version, of: word("drifting", each.what) })),
    ...worst(version.inputs || []).map((each) => ({ ...each, version: version.version, of: t("drift.input", { name: each.what }) })),
  ]);
  const about = { key: "drift", about: t("drift.about") };
  if (!rows.length) return card(t("drift"), about, empty(t("drift.none"), t("drift.none_text"), command(`lepton drift ${name}`)));
  return card(t("drift"), about, table(columns(), rows, { key: (row) => `${row.version} ${row.of}`, label: t("drift") }));
}

/** Of the inputs those that are the farthest from their reference. */
function worst(inputs) {
  const excess = (each) => Math.max(0, ...each.statistics.map((found) => found.value / found.threshold));
  return [...inputs].sort((a, b) => excess(b) - excess(a)).slice(0, MOST_INPUTS);
}

const columns = () => [
  { head: t("version"), cell: (row) => h("b", { class: "num" }, `v${row.version}`) },
  { head: t("drift.what"), cell: (row) => h("span", { class: "wrap" }, row.of) },
  { head: t("drift.verdict"), cell: (row) => chip(word("drift_verdict", row.verdict.replace("DRIFT_VERDICT_", "").toLowerCase()), KINDS[row.verdict] || "") },
  { head: t("drift.compared"), class: "r", cell: (row) => [row.reference === TRAINING && h("div", { class: "small faint" }, t("drift.training")), `${count(row.golden)} / ${count(row.latest)}`] },
  { head: t("drift.distance"), cell: (row) => row.statistics.map((each) => h("div", { class: "small num nowrap" }, `${each.name.toUpperCase()} ${number(each.value)} `, h("span", { class: "faint" }, t("drift.threshold", { threshold: number(each.threshold) })))) },
  { head: t("drift.where"), cell: (row) => row.shares.slice(0, 3).map((each) => h("div", { class: "small wrap" }, `${each.name}: ${percent(each.golden)} → ${percent(each.latest)}`)) },
];
