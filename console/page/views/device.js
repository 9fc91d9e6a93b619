// One device: how it fares, how far it drifted, what it sees beside what its model was trained on.

import { at, get } from "/page/api.js";
import { bins, lines } from "/page/charts.js";
import { empty, h, mood, s } from "/page/dom.js";
import { since } from "/page/time.js";
import { card } from "/page/views/alerts.js";

export const title = ({ id }) => id;
export const kinds = ["device", "alert", "scores"];

const or = (promise) => promise.catch((problem) => (problem.status === 404 ? null : Promise.reject(problem)));

export async function load({ id }) {
  const [device, scores, shapes, alerts] = await Promise.all([
    get(at("devices", id)), or(get(`${at("devices", id)}/scores`)), or(get(`${at("devices", id)}/distributions`)), get("/alerts", { subject: id }),
  ]);
  return { device, scores, shapes, alerts: alerts.items };
}

export function show({ device, scores, shapes, alerts }, context) {
  const { heartbeat, device: held, health } = device;
  return h("div", null,
    h("dl", { class: "tiles" },
      tile("State", held ? mood(held.state) : mood("unknown")), tile("Verdict", mood(scores?.latest?.verdict ?? "not_enough_data")),
      tile("Model", heartbeat?.safe_mode ? "safe mode" : heartbeat?.model_id || held?.model_id || "none"),
      tile("Last seen", since(held?.last_seen_ms || heartbeat?.at_ms)),
      tile("Labels", Object.entries(held?.labels ?? heartbeat?.labels ?? {}).map(([name, value]) => `${name}=${value}`).join(", ") || "none"),
      health ? tile("Anomalies in the last window", `${health.anomalies} of ${health.inferences}`) : null,
      health?.latency_p99_ms ? tile("Latency, p99", `${health.latency_p99_ms.toFixed(1)} ms`) : null,
      heartbeat ? tile("Waiting in the spool", `${heartbeat.spool_records}, ${heartbeat.spool_dropped} dropped`) : null),
    alerts.length ? [h("h2", null, "Open alerts"), alerts.map((alert) => card(alert, context, true))] : null,
    h("h2", null, "Scores over time"),
    timeline(scores?.points ?? []),
    h("h2", null, "What it sees, beside the baseline"),
    shapes ? distributions(shapes) : empty("No window of this device is known yet."));
}

const tile = (name, value) => h("div", { class: "tile" }, h("dt", null, name), h("dd", { class: "text" }, value));

function timeline(points) {
  if (!points.length) return empty("No scores yet.", "The drift worker reports a device when it has seen enough of it.");
  // Horizons are not mixed: the one that reports most often is shown.
  const counts = Map.groupBy(points, (point) => point.horizon_ms);
  const [horizon, chosen] = [...counts].sort((a, b) => b[1].length - a[1].length)[0];
  const worst = {};
  for (const point of chosen) for (const [name, psi] of Object.entries(point.psi)) worst[name] = Math.max(worst[name] ?? 0, psi ?? 0);
  const names = Object.keys(worst).sort((a, b) => worst[b] - worst[a]);
  const series = names.map((name) => ({ name, points: chosen.filter((point) => point.psi[name] != null).map((point) => [point.at_ms, point.psi[name]]) }));
  const filled = series.filter((one) => one.points.length);
  if (!filled.length) return empty("All features are below the report floor.");
  return lines(`PSI of the most drifted features, looking back ${Math.round(horizon / 60000)} minutes`, filled, 0.2);
}

function distributions(shapes) {
  return h("div", null,
    h("ul", { class: "legend" }, [["reference", "baseline"], ["live", `now: ${shapes.samples} samples${shapes.baseline_id ? "" : ", no baseline known"}`]].map(([kind, text]) =>
      h("li", null, s("svg", { viewBox: "0 0 40 14", "aria-hidden": "true" }, s("rect", { class: kind, width: 40, height: 14 })), text))),
    h("p", { class: "small quiet" }, "The last window, ending ", since(shapes.window_end_ms)),
    h("div", { class: "bins" }, shapes.features.map(bins)));
}
