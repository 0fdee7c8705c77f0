// Line icons of the places, drawn on a grid of 20.

import { s } from "./dom.js";

const PATHS = {
  overview: "M3 11.5 10 5l7 6.5M5 10v6.5h10V10",
  topology: "M10 7.5v2.5m0 0H5.5v2.5M10 10h4.5v2.5M8 3.5h4v4H8zM3.5 12.5h4v4h-4zM12.5 12.5h4v4h-4z",
  models: "M10 3 16.5 6.5 10 10 3.5 6.5zM3.5 10 10 13.5 16.5 10M3.5 13.5 10 17l6.5-3.5",
  alerts: "M10 3.5a4 4 0 0 1 4 4c0 4 1.5 5 1.5 6h-11c0-1 1.5-2 1.5-6a4 4 0 0 1 4-4M8.5 16.2a1.7 1.7 0 0 0 3 0",
  metrics: "M3.5 16.5h13M5 13l3.5-4.5 3 2.5L16 5",
  traces: "M3.5 5.5h9M6.5 10h8M10.5 14.5h6",
  feedback: "M4 4.5h12v8.5H9.5L6 16v-3H4z",
  logs: "M4.5 3.5h11v13h-11zM7 7h6M7 10h6M7 13h3.5",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
};

export const icon = (name) =>
  s("svg", { viewBox: "0 0 20 20", "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linecap": "round", "stroke-linejoin": "round" },
    s("path", { d: PATHS[name] }));
