// The fleet at a glance: counts, the map of drift, the worst devices.

import { at, get } from "/page/api.js";
import { empty, h, mood, table, words } from "/page/dom.js";
import { since } from "/page/time.js";

export const title = () => "Fleet";
export const kinds = ["device", "alert", "rollout"];

export async function load({ query }) {
  const by = query.by ?? "model";
  const [stats, map, worst] = await Promise.all([
    get("/stats"), get("/fleet/heatmap", { by, limit: 40 }), get("/scores", { limit: 10 }),
  ]);
  return { by, stats, map, worst };
}

export function show({ by, stats, map, worst }, _context, { query }) {
  if (!stats.devices) return empty("No device is known yet.", "Gateways appear with their first heartbeat; `driftline worker views` must run.");
  const drifting = stats.by_verdict.drift ?? 0;
  return h("div", null,
    h("dl", { class: "tiles" },
      tile("Devices", stats.devices), tile("Online", stats.by_state.online ?? 0), tile("Offline", stats.by_state.offline ?? 0),
      tile("Drifting", drifting), tile("In safe mode", stats.safe_mode), tile("Open alerts", sum(stats.alerts)),
      tile("Rollouts under way", sum(stats.rollouts, ["running", "baking", "paused", "awaiting_approval", "rolling_back"]))),
    h("h2", { id: "map" }, "Where it drifts"),
    h("div", { class: "row" }, h("label", { for: "by" }, "One line for each",
      h("select", { id: "by", value: by, onchange: (event) => (location.hash = `#/?by=${encodeURIComponent(event.target.value)}`) },
        [["model", "model"], ["device", "device (the worst)"], ...map.labels.map((name) => [name, `label ${name}`])].map(([value, label]) =>
          h("option", { value, selected: value === (query.by ?? "model") }, label))))),
    heat(map),
    h("h2", null, "Most drifted devices"),
    worst.items.length
      ? table("The ten devices with the largest PSI", ["Device", "Verdict", "#Largest PSI", "Drifting features", "Model", "Scored"],
          worst.items.map((row) => [
            h("a", { href: `#${at("device", row.device_id)}` }, row.device_id), mood(row.verdict), row.worst_psi.toFixed(2),
            row.drifting.join(", ") || "–", row.model_id, since(row.scored_ms),
          ]))
      : empty("No scores yet.", "They come with the drift worker: `driftline worker drift`."));
}

const tile = (name, value) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null, String(value)));
const sum = (counts, names) => Object.entries(counts).filter(([name]) => !names || names.includes(name)).reduce((all, [, count]) => all + count, 0);

const STEPS = [0.1, 0.2, 0.3, 0.5, 1];

function heat(map) {
  if (!map.features.length) return empty("Nothing is above the report floor.", "Quiet features are not shown.");
  return h("div", null,
    h("div", { class: "heat", tabindex: "0", role: "region", "aria-labelledby": "map" },
      h("table", null,
        h("caption", null, `Largest PSI by ${words(map.by)} and feature; blank is below the report floor; (n) devices drift`),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, words(map.by)), map.features.map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", null, map.lines.map((line) => h("tr", null,
          h("th", { scope: "row" }, h("a", { href: link(map.by, line.name) }, line.name), map.by === "device" ? null : ` ${line.drifting}/${line.devices}`),
          line.cells.map((cell) => h("td", { class: `h${step(cell.psi)}` }, text(cell, map.by)))))))),
    map.left_out ? h("p", { class: "small quiet" }, `${map.left_out} more lines are less drifted.`) : null);
}

const step = (psi) => (psi === null ? 0 : 1 + STEPS.filter((limit) => psi >= limit).length);
const text = (cell, by) => (cell.psi === null ? "" : `${cell.psi.toFixed(2)}${cell.drifting && by !== "device" ? ` (${cell.drifting})` : ""}`);

function link(by, name) {
  if (by === "device") return `#${at("device", name)}`;
  const query = by === "model" ? { model: name } : { label: `${by}=${name}` };
  return `#/devices?${new URLSearchParams(query)}`;
}
