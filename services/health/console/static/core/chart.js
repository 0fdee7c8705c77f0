// Charts over time: uPlot inside an element of its own, which lives as long as it is on the page.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { h, s } from "./dom.js";


/** A colour that a canvas understands: `light-dark()` is worked out by the browser. */
function resolve(variable) {
  const probe = h("i", { class: "visually-hidden" });
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const BYTES = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** Of a day, the time; of more, the date as well. */
const moment = (times) => {
  const long = times.at(-1) - times[0] > 1.5 * 86400;
  const format = new Intl.DateTimeFormat(document.documentElement.lang === "zh" ? "zh-CN" : "en-GB", long ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });
  return (at) => format.format(at * 1000);
};

class LeptonChart extends HTMLElement {
  spec = null;
  #plot = null;
  #resize = new ResizeObserver(() => this.#plot?.setSize(this.#size()));
  #redraw = () => this.#draw();

  connectedCallback() {
    this.#draw();
    this.#resize.observe(this);
    document.addEventListener("lepton:theme", this.#redraw);
  }

  disconnectedCallback() {
    this.#resize.disconnect();
    document.removeEventListener("lepton:theme", this.#redraw);
    this.#plot?.destroy();
    this.#plot = null;
  }

  /** Called by morph on the element that is to be drawn: hands its data to the one on the page. */
  update(shown) {
    const isSame = shown.spec.series.length === this.spec.series.length && shown.spec.unit === this.spec.unit;
    shown.spec = this.spec;
    if (isSame && shown.#plot) shown.#plot.setData(this.spec.data);
    else shown.#draw();
  }

  #size() {
    return { width: Math.max(160, this.clientWidth), height: this.spec.height || 190 };
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(), this.spec.data, this);
  }

  #options() {
    const { series, show, unit, onpick, marks } = this.spec;
    const line = resolve("--line");
    const text = resolve("--faint");
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "12px system-ui, sans-serif" };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: { points: { size: 6 }, drag: { x: false, y: false }, sync: { key: "lepton" } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
      axes: [
        { ...axis, size: 28, values: (_, ticks) => ticks.map(moment(this.spec.data[0])), space: 74 },
        { ...axis, size: 66, values: (_, ticks) => ticks.map(show), ...(unit === "bytes" ? { incrs: BYTES } : {}) },
      ],
      series: [{}, ...series.map((each, i) => ({ label: each.label, stroke: resolve(`--s${(i % 6) + 1}`), width: 1.75, dash: i > 5 ? [5, 4] : undefined, points: { show: false }, spanGaps: false }))],
      hooks: {
        setCursor: [(plot) => this.#tell(plot)],
        draw: [(plot) => drawMarks(plot, marks || [], resolve("--s6"))],
        ready: [(plot) => onpick && (plot.over.onclick = () => plot.cursor.idx !== null && onpick(plot.data[0][plot.cursor.idx]))],
      },
    };
  }

  #tell(plot) {
    const at = plot.cursor.idx;
    this.dispatchEvent(new CustomEvent("lepton:point", { detail: at === null || at === undefined ? null : plot.data.map((each) => each[at]) }));
  }
}

function drawMarks(plot, marks, tone) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = tone;
  ctx.setLineDash([3, 3]);
  for (const at of marks) {
    const x = plot.valToPos(at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

customElements.define("lepton-chart", LeptonChart);

/** A chart with its legend, whose figures follow the pointer. `data`: [times, values, values…]; `show` writes a value. */
export function chart(key, { data, series, show, unit = "", onpick = null, marks = [] }) {
  const element = document.createElement("lepton-chart");
  element.spec = { data, series, show, unit, onpick, marks };
  element.setAttribute("data-keep", "");
  element.setAttribute("data-key", `chart ${key}`);
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", series.map((each) => each.label).join(", "));
  const last = data.slice(1).map((values) => values.findLast((value) => value !== null && value !== undefined));
  return h("div", { class: "stack" },
    h("div", { class: "legend" }, series.map((each, i) => h("span", null, swatch(i), each.label, " ", h("b", { class: "num" }, show(last[i]))))),
    element);
}

const swatch = (i) => s("svg", { width: 18, height: 8, "aria-hidden": "true" },
  s("line", { x1: 0, x2: 14, y1: 4, y2: 4, stroke: `var(--s${(i % 6) + 1})`, "stroke-width": 3, "stroke-dasharray": i > 5 ? "5 3" : null }));

/** A small line without axes: the last values, from zero on. */
export function sparkline(values, label = "") {
  const known = values.map((value, i) => [i, value]).filter(([, value]) => value !== null && Number.isFinite(value));
  if (known.length < 2) return h("span", { class: "faint" }, "–");
  const most = Math.max(...known.map(([, value]) => value)) || 1;
  const points = known.map(([i, value]) => `${((100 * i) / (values.length - 1)).toFixed(1)} ${(24 - (22 * value) / most).toFixed(1)}`);
  const [first, final] = [known[0][0], known.at(-1)[0]].map((i) => (100 * i) / (values.length - 1));
  return s("svg", { viewBox: "0 0 100 26", preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": label },
    s("path", { class: "area", d: `M${first} 26L${points.join("L")}L${final} 26Z` }),
    s("path", { d: `M${points.join("L")}` }));
}
