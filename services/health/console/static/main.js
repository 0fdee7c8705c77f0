// Starts the page: the shell around it, the places, and drawing the view that the address means whenever something changes.

import { token } from "./core/api.js";
import { help, unlock } from "./core/dialogs.js";
import { h, morph } from "./core/dom.js";
import { clock } from "./core/format.js";
import { language, languages, setLanguage, t } from "./core/i18n.js";
import { icon } from "./core/icons.js";
import { PLACES, listen } from "./core/keyboard.js";
import { connect, connection, onChange, topics } from "./core/live.js";
import { fault } from "./core/parts.js";
import { current, onNavigate, query, route } from "./core/router.js";
import { Loader } from "./core/loader.js";
import { beyondStatus, firing } from "./parts/alerts.js";
import alert from "./views/alert.js";
import alerts from "./views/alerts.js";
import feedback from "./views/feedback.js";
import logs from "./views/logs.js";
import metrics from "./views/metrics.js";
import missing from "./views/missing.js";
import model from "./views/model.js";
import models from "./views/models.js";
import overview from "./views/overview.js";
import topology from "./views/topology.js";
import trace from "./views/trace.js";
import traces from "./views/traces.js";

const PLACE_NAMES = ["overview", "topology", "models", "alerts", "metrics", "traces", "feedback", "logs"];
const VIEWS = [overview, topology, models, alerts, metrics, traces, feedback, logs];

route("/", overview);
route("/topology", topology);
route("/models", models);
route("/models/:name", model);
route("/alerts", alerts);
route("/alerts/:id", alert);
route("/metrics", metrics);
route("/traces", traces);
route("/traces/:id", trace);
route("/feedback", feedback);
route("/logs", logs);

const loader = new Loader(draw);
let open = false;
let waiting = false;

/** Draw at the next frame, once, however much has changed. */
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const place = current();
    const view = place.view || missing;
    document.documentElement.lang = language();
    document.title = `${titleOf(view, place)} · Lepton`;
    morph(document.getElementById("shell"), shell(view, place));
  });
}

function titleOf(view, place) {
  return view.title ? view.title(place.params) : t("place.overview");
}

function shell(view, place) {
  return h(
    "div",
    { id: "shell", class: "shell" },
    side(view),
    h("div", { class: "main" }, banner(), h("main", { id: "view", class: "view", tabindex: -1, "data-key": place.path }, content(view, place))),
  );
}

function content(view, place) {
  const context = { params: place.params, query: query(), live: topics, ...loader.of(view, place) };
  try {
    return view.render(context);
  } catch (error) {
    console.error(error);
    return fault({ message: t("error.page"), fix: String(error.message || error) });
  }
}

function banner() {
  if (connection.state === "lost") {
    return h("div", { class: "banner", role: "alert", "data-key": "banner" }, h("span", null, h("b", null, t("banner.lost")), " ", t("banner.lost_since", { time: clock(connection.since / 1000) })));
  }
  const stale = topics.status?.stale_since;
  if (!stale) return null;
  return h("div", { class: "banner", role: "alert", "data-key": "banner" }, h("span", null, h("b", null, t("banner.stale")), " ", t("banner.stale_since", { time: clock(stale) })));
}

function side(view) {
  const group = view.place || "";
  return h(
    "nav",
    { class: `side ${open ? "open" : ""}`, "aria-label": t("places"), "data-key": "side" },
    h("a", { class: "brand", href: "/" }, h("img", { src: "/static/icon.svg", alt: "" }), "Lepton"),
    h("button", { class: "menu", type: "button", "aria-expanded": String(open), "aria-label": t("menu"), onclick: () => ((open = !open), draw()) }, icon("menu")),
    h("div", { class: "places" }, PLACE_NAMES.map((name, i) => placeLink(name, VIEWS[i].path, group === name))),
    h("div", { class: "side-foot" },
      h("div", { class: "row" },
        languages().map((name) => h("button", { type: "button", class: "plain", lang: name, "aria-pressed": String(language() === name), onclick: () => (setLanguage(name), draw()) }, name === "zh" ? "中文" : "English"))),
      h("div", { class: "row" },
        h("button", { type: "button", class: "plain", onclick: switchTheme }, t(dark() ? "theme.light" : "theme.dark")),
        h("button", { type: "button", class: "plain", onclick: lock }, t(token.get() ? "token.forget" : "token.enter"))),
      h("button", { type: "button", class: "plain", onclick: showHelp }, t("help.title"), " ", h("kbd", null, "?"))),
  );
}

function placeLink(name, path, isHere) {
  return h("a", { class: "place", href: path, "data-place": name, "aria-current": isHere ? "page" : null, onclick: () => (open = false) },
    icon(name), t(`place.${name}`), badge(name));
}

function badge(name) {
  if (name !== "alerts" && name !== "overview") return null;
  const n = name === "overview" ? (topics.status?.problems.length || 0) + beyondStatus(topics).length : firing(topics).length;
  return n ? h("span", { class: "badge bad" }, n) : null;
}

const dark = () => getComputedStyle(document.documentElement).colorScheme === "dark" ||
  (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

function switchTheme() {
  const wanted = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  localStorage.setItem("lepton.theme", wanted);
  document.dispatchEvent(new Event("lepton:theme"));
  draw();
}

async function lock() {
  if (token.get()) token.set("");
  else await unlock();
  draw();
}

const showHelp = () => help(PLACE_NAMES.map((name) => ({
  key: Object.entries(PLACES).find(([, path]) => path === VIEWS[PLACE_NAMES.indexOf(name)].path)[0],
  name: t(`place.${name}`),
})));

onNavigate(() => {
  const before = document.getElementById("view")?.dataset.key;
  draw();
  if (before !== location.pathname) {
    open = false;
    window.scrollTo(0, 0);
    requestAnimationFrame(() => document.getElementById("view")?.focus({ preventScroll: true }));
  }
});
onChange(draw);
for (const name of ["lepton:unlocked", "lepton:changed"]) document.addEventListener(name, () => (loader.again(), draw()));
listen(showHelp);
connect();
draw();
setInterval(draw, 10000); // for "2 minutes ago"
