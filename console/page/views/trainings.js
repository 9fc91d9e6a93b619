// What is asked to be trained, how far it is, and a person's word about it.

import { at, get, send } from "/page/api.js";
import { ask, empty, h, mood, table } from "/page/dom.js";
import { since, time } from "/page/time.js";

export const title = () => "Trainings";
export const kinds = ["training", "audit"];
const ENDED = ["finished", "failed", "cancelled", "superseded"];

export const load = ({ query }) => get("/training", { limit: 50, cursor: query.cursor ?? "" });

export function show(page, context, { query }) {
  return h("div", null,
    page.items.length
      ? table(`${page.total} trainings, the latest request first`, ["Request", "State", "What was said last", "#Attempt", "Model", "Asked for", "By", "Data", ""], page.items.map((one) => [
          one.request_id, mood(one.state), [one.news || one.reason, " (", since(one.changed_ms), ")"], one.attempt || "–", one.model,
          `${one.cause}: ${one.reason}`, one.requested_by, [time(one.data_from_ms), " to ", time(one.data_to_ms)], controls(one, context)]))
      : empty("Nothing was asked to be trained.", "The trainer's desk asks by itself when a model's world drifts; you may ask below."),
    page.next ? h("p", null, h("a", { href: `#/trainings?${new URLSearchParams({ ...query, cursor: page.next })}` }, "Next page")) : null,
    context.may("operator") ? request(context) : null);
}

function controls(one, context) {
  if (ENDED.includes(one.state)) return null;
  return h("div", { class: "row" },
    one.state === "awaiting_approval" && context.may("approver")
      ? h("button", { class: "main", type: "button", "aria-label": `Approve ${one.request_id}`, onclick: () => say("approve", "Approve", one, context) }, "Approve …") : null,
    one.state !== "cancelling" && context.may("operator")
      ? h("button", { class: "grave", type: "button", "aria-label": `Cancel ${one.request_id}`, onclick: () => say("cancel", "Cancel", one, context) }, "Cancel …") : null);
}

async function say(action, label, one, context) {
  const said = await ask(`${label} ${one.request_id}`, { confirm: `${label} it`, grave: action === "cancel", text: one.reason });
  if (said) await context.act(() => send("POST", `${at("training", one.request_id)}/${action}`, { why: said.why }), label);
}

function request(context) {
  const field = (name, label, more) => h("label", { for: `train-${name}` }, label, h("input", { id: `train-${name}`, name, required: true, ...more }));
  return h("section", null, h("h2", null, "Ask for one"),
    h("form", { class: "row", onsubmit: (event) => file(event, context) },
      field("model", "Model"), field("pipeline", "Pipeline (name/version)", { placeholder: "machine/1" }),
      field("days", "Days of data", { type: "number", min: "0.01", max: "90", step: "any", value: "7" }), field("why", "Why"),
      h("button", { class: "main", type: "submit" }, "Ask")));
}

async function file(event, context) {
  event.preventDefault();
  const said = Object.fromEntries(new FormData(event.currentTarget));
  await context.act(() => send("POST", "/training", { ...said, days: Number(said.days) }), (answer) => `Asked for as ${answer.request_id}`);
}
