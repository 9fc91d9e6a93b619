// Releases: how far each may go, two of them side by side, and the step to the next stage or to the archive.

import { at, get, send } from "/page/api.js";
import { ask, empty, h, mood, table, words } from "/page/dom.js";
import { since } from "/page/time.js";

export const title = () => "Models";
export const kinds = ["model"];

export async function load({ query }) {
  const page = await get("/models", { limit: 100, cursor: query.cursor ?? "" });
  const both = query.a && query.b ? await get("/models/compare", { a: query.a, b: query.b }) : null;
  return { page, both };
}

const id = (one) => `${one.model}/${one.version}`;

const NEXT = { candidate: "staging", staging: "production", archived: "staging" };

export function show({ page, both }, context, { query }) {
  if (!page.items.length) return empty("No release yet.", "`driftline train` makes one.");
  const choice = (name, label) => h("label", { for: name }, label, h("select", { id: name, name },
    page.items.map((one) => h("option", { value: id(one), selected: query[name] === id(one) }, id(one)))));
  const compare = (event) => {
    event.preventDefault();
    location.hash = `#/models?${new URLSearchParams(new FormData(event.currentTarget))}`;
  };
  return h("div", null,
    table(`${page.total} releases`, ["Release", "How far it may go", "#Devices", "Pipeline", "Metrics", "Made", "By", ""], page.items.map((one) => [
      id(one), mood(one.stage), one.devices, one.pipeline, figures(one.metrics), since(one.created_ms), one.created_by, context.may("approver") ? moves(one, page.items, context) : null])),
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

function moves(one, all, context) {
  const next = NEXT[one.stage];
  return h("div", { class: "row" },
    next ? h("button", { class: "main", type: "button", "aria-label": `Promote ${id(one)} to ${next}`, onclick: () => promote(one, next, all, context) }, "Promote …") : null,
    one.stage !== "archived" ? h("button", { class: "grave", type: "button", "aria-label": `Archive ${id(one)}`, onclick: () => archive(one, context) }, "Archive …") : null);
}

const insist = (label) => () => h("label", { class: "inline", for: "ask-insist" }, h("input", { id: "ask-insist", type: "checkbox", name: "insist", required: true }), label);

async function promote(one, next, all, context) {
  const champion = next === "production" ? all.find((other) => other.model === one.model && other.stage === "production") : null;
  const both = champion ? await get("/models/compare", { a: id(champion), b: id(one) }) : null;
  const said = await ask(`Promote ${id(one)} to ${next}`, {
    confirm: "Promote",
    text: champion ? `${id(champion)} is in production and will be archived. What each promised, and what the fleet sees:` : "",
    fields: both ? [() => comparison(both), insist("I have compared them; go on")] : [],
  });
  if (said) await move(one, "promote", said, context);
}

async function archive(one, context) {
  const live = one.stage === "production";
  const said = await ask(`Archive ${id(one)}`, { confirm: "Archive", grave: true, text: live ? "It is in production." : "", fields: live ? [insist("Though it is in production")] : [] });
  if (said) await move(one, "archive", said, context);
}

const move = (one, action, said, context) =>
  context.act(() => send("POST", `${at("models", id(one))}/${action}`, { why: said.why, insist: "insist" in said }),
    ({ stages }) => Object.entries(stages).map(([name, stage]) => `${name} is in ${stage}`).join("; "));
