// Releases, and two of them side by side.

import { get } from "/page/api.js";
import { empty, h, mood, table, words } from "/page/dom.js";
import { since } from "/page/time.js";

export const title = () => "Models";
export const kinds = ["model"];

export async function load({ query }) {
  const page = await get("/models", { limit: 100, cursor: query.cursor ?? "" });
  const both = query.a && query.b ? await get("/models/compare", { a: query.a, b: query.b }) : null;
  return { page, both };
}

const id = (one) => `${one.model}/${one.version}`;

export function show({ page, both }, _context, { query }) {
  if (!page.items.length) return empty("No release yet.", "`driftline train` makes one.");
  const choice = (name, label) => h("label", { for: name }, label, h("select", { id: name, name },
    page.items.map((one) => h("option", { value: id(one), selected: query[name] === id(one) }, id(one)))));
  const compare = (event) => {
    event.preventDefault();
    location.hash = `#/models?${new URLSearchParams(new FormData(event.currentTarget))}`;
  };
  return h("div", null,
    table(`${page.total} releases`, ["Release", "How far it may go", "#Devices", "Pipeline", "Metrics", "Made", "By"], page.items.map((one) => [
      id(one), mood(one.stage), one.devices, one.pipeline, figures(one.metrics), since(one.created_ms), one.created_by])),
    h("h2", null, "Compare"),
    h("form", { class: "row", onsubmit: compare }, choice("a", "This"), choice("b", "with this"), h("button", { class: "main", type: "submit" }, "Compare")),
    both ? comparison(both) : null);
}

const figures = (metrics) => Object.entries(metrics).slice(0, 4).map(([name, value]) => `${words(name)} ${figure(value)}`).join(", ");
const figure = (value) => (value === null || value === undefined ? "–" : String(+value.toPrecision(4)));

function comparison({ a, b, metrics, fleet }) {
  const told = (seen) => Object.entries(seen.by_verdict).map(([verdict, count]) => `${count} ${words(verdict)}`).join(", ") || "none";
  return table(`${id(a)} and ${id(b)}`, ["What", `#${id(a)}`, `#${id(b)}`, "#Difference"], [
    ["Devices", fleet.a.devices, fleet.b.devices, ""], ["Their verdicts", told(fleet.a), told(fleet.b), ""],
    ["Size", `${(a.bundle_bytes / 1024).toFixed(0)} KiB`, `${(b.bundle_bytes / 1024).toFixed(0)} KiB`, ""],
    ...metrics.map((one) => [words(one.name), figure(one.a), figure(one.b), one.a !== null && one.b !== null ? figure(one.b - one.a) : ""]),
  ]);
}
