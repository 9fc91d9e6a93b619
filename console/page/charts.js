// Pictures of figures; each says in words what it shows, and the figures stand beside it as a table.

import { h, s, table } from "/page/dom.js";
import { hour, time } from "/page/time.js";

const H = 240, LEFT = 44, BOTTOM = 26, TOP = 12, RIGHT = 12;
const DASHES = ["", "8 4", "2 3", "10 3 2 3", "4 4", "1 4"];

// `series`: [{name, points: [[ms, value]…]}], at most six are drawn.
export function lines(title, series, limit) {
  // On a phone a wide picture would be shrunk, and its words with it.
  const W = Math.max(320, Math.min(720, innerWidth - 40));
  const drawn = series.slice(0, 6);
  const times = drawn.flatMap((one) => one.points.map(([ms]) => ms));
  const values = drawn.flatMap((one) => one.points.map(([, value]) => value));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const top = Math.max(limit * 1.25, ...values);
  const x = (ms) => LEFT + ((ms - from) / (to - from || 1)) * (W - LEFT - RIGHT);
  const y = (value) => H - BOTTOM - (value / top) * (H - BOTTOM - TOP);
  const ticks = [0, top / 2, top];
  return h(
    "figure",
    null,
    s(
      "svg",
      { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}; the figures are in the table below` },
      ticks.map((value) => [
        s("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value) }),
        s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2)),
      ]),
      s("line", { class: "limit", x1: LEFT, x2: W - RIGHT, y1: y(limit), y2: y(limit) }),
      s("text", { x: W - RIGHT, y: y(limit) - 4, "text-anchor": "end" }, `usually worth an alarm: ${limit}`),
      s("text", { x: LEFT, y: H - 8 }, hour(from)),
      s("text", { x: W - RIGHT, y: H - 8, "text-anchor": "end" }, hour(to)),
      drawn.map((one, place) =>
        one.points.length === 1
          ? s("circle", { class: `c${place}`, cx: x(one.points[0][0]), cy: y(one.points[0][1]), r: 4 })
          : s("polyline", {
              class: `line c${place}`, fill: "none", "stroke-dasharray": DASHES[place],
              points: one.points.map(([ms, value]) => `${x(ms).toFixed(1)},${y(value).toFixed(1)}`).join(" "),
            }),
      ),
    ),
    h("ul", { class: "legend" }, drawn.map((one, place) =>
      h("li", null,
        s("svg", { viewBox: "0 0 40 14", "aria-hidden": "true" },
          s("line", { class: `line c${place}`, x1: 0, x2: 40, y1: 7, y2: 7, "stroke-dasharray": DASHES[place], "stroke-width": 3 })),
        one.name))),
    h("details", null, h("summary", null, "The figures"),
      table(title, ["Time", ...drawn.map((one) => `#${one.name}`)], figures(drawn))),
  );
}

function figures(drawn) {
  const times = [...new Set(drawn.flatMap((one) => one.points.map(([ms]) => ms)))].sort((a, b) => b - a).slice(0, 60);
  const found = drawn.map((one) => new Map(one.points));
  return times.map((ms) => [time(ms), ...found.map((values) => values.get(ms)?.toFixed(3) ?? "")]);
}

// Two shares a bin, side by side.
export function bins({ name, bins: names, live, reference }) {
  const top = Math.max(0.01, ...(live ?? []), ...(reference ?? []));
  const width = 300 / names.length;
  const bar = (value, at, offset, kind) => {
    const tall = (value / top) * 96;
    return s("rect", { class: kind, x: at * width + offset, y: 100 - tall, width: width * 0.4, height: tall },
      s("title", null, `${names[at]}: ${kind === "live" ? "now" : "baseline"} ${(value * 100).toFixed(1)} %`));
  };
  const moved = reference && live ? live.map((share, at) => [Math.abs(share - reference[at]), at]).sort((a, b) => b[0] - a[0])[0] : null;
  const told = moved
    ? `${name}: most moved is ${names[moved[1]]}, from ${(reference[moved[1]] * 100).toFixed(0)} % to ${(live[moved[1]] * 100).toFixed(0)} %`
    : `${name}: no baseline to compare with`;
  return h("figure", null,
    h("figcaption", null, name),
    s("svg", { class: "chart", viewBox: "0 0 300 104", role: "img", "aria-label": told },
      (reference ?? []).map((value, at) => bar(value, at, width * 0.08, "reference")),
      (live ?? []).map((value, at) => bar(value, at, width * 0.52, "live"))),
    h("p", { class: "small quiet" }, told));
}
