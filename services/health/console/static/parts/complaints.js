// What users complain of, put together by what it is about.

import { h } from "../core/dom.js";
import { count } from "../core/format.js";
import { t } from "../core/i18n.js";
import { card, chip, table, time } from "../core/parts.js";

export function complaintsCard(groups) {
  return groups.length > 0 && card(t("complaints"), { key: "complaints", about: t("complaints.about") },
    table(columns(), groups, { key: (row) => row.id, label: t("complaints") }));
}

const columns = () => [
  { head: t("complaints.count"), class: "r", cell: (row) => count(row.count) },
  { head: t("complaints.example"), cell: (row) => h("div", { class: "wrap" }, row.example) },
  { head: t("complaints.keys"), cell: (row) => row.keys.slice(0, 5).map((each) => chip(each)) },
  { head: t("versions"), cell: (row) => Object.entries(row.versions).map(([version, n]) => h("div", { class: "small num nowrap" }, `v${version}: ${count(n)}`)) },
  { head: t("complaints.last"), cell: (row) => time(row.last_at) },
];
