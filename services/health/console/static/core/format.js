// Figures as people read them. Everything that stands in columns has tabular figures (see .num in base.css).

import { language, t } from "./i18n.js";
import { now } from "./live.js";

const locale = () => (language() === "zh" ? "zh-CN" : "en-GB");
export const NONE = "–";

export const known = (value) => value !== null && value !== undefined && Number.isFinite(Number(value));

export function count(value) {
  return known(value) ? new Intl.NumberFormat(locale()).format(Number(value)) : NONE;
}

export function number(value, digits = 3) {
  if (!known(value)) return NONE;
  return new Intl.NumberFormat(locale(), { maximumSignificantDigits: digits }).format(Number(value));
}

export function rate(value) {
  return known(value) ? `${number(value)}/s` : NONE;
}

export function percent(share, digits = 1) {
  if (!known(share)) return NONE;
  const value = Number(share) * 100;
  if (value > 0 && value < 0.01) return "<0.01 %";
  return `${new Intl.NumberFormat(locale(), { maximumFractionDigits: value < 1 && value > 0 ? 2 : digits }).format(value)} %`;
}

/** Seconds → "12.3 ms". */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const value = Number(seconds);
  if (value === 0) return "0 ms";
  if (value < 1e-3) return `${number(value * 1e6)} µs`;
  if (value < 1) return `${number(value * 1e3)} ms`;
  if (value < 120) return `${number(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} d`;
}

export function bytes(value) {
  let left = Number(value);
  for (const unit of ["B", "KiB", "MiB"]) {
    if (left < 1024) return `${number(left)} ${unit}`;
    left /= 1024;
  }
  return `${number(left)} GiB`;
}

/** A protobuf timestamp, or seconds since 1970, as seconds. */
export function seconds(time) {
  if (typeof time === "number") return time;
  const found = Date.parse(time || "");
  return Number.isNaN(found) ? null : found / 1000;
}

export function clock(time) {
  const at = seconds(time);
  if (!at) return NONE;
  return new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at * 1000);
}

export function dateTime(time) {
  const at = seconds(time);
  if (!at) return NONE;
  const today = new Date(at * 1000).toDateString() === new Date(now() * 1000).toDateString();
  const day = today ? {} : { year: "numeric", month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(locale(), { ...day, hour: "2-digit", minute: "2-digit" }).format(at * 1000);
}

export function ago(time) {
  const at = seconds(time);
  if (!at) return NONE;
  const passed = Math.max(0, now() - at);
  if (passed < 5) return t("time.now");
  if (passed < 90) return t("time.seconds", { n: Math.round(passed) });
  if (passed < 5400) return t("time.minutes", { n: Math.round(passed / 60) });
  if (passed < 129600) return t("time.hours", { n: Math.round(passed / 3600) });
  return t("time.days", { n: Math.round(passed / 86400) });
}
