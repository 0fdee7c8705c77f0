// There is no such view.

import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { empty } from "../core/parts.js";

export default {
  title: () => t("missing.title"),
  render: () => empty(t("missing.title"), t("missing.text"), h("a", { class: "button", href: "/" }, t("place.overview"))),
};
