// All rollouts, and a new one.

import { at, get, send } from "/page/api.js";
import { empty, h, mood, table } from "/page/dom.js";
import { since } from "/page/time.js";

export const title = () => "Rollouts";
export const kinds = ["rollout"];
const EXAMPLE = `{
  "rollout": "bearings-2",
  "model": "bearings/2",
  "strategy": "canary",
  "cohort": "site = 'north'"
}`;

export const load = ({ query }) => get("/rollouts", { limit: 50, cursor: query.cursor ?? "" });

export function done(rollout) {
  const total = Object.entries(rollout.devices).filter(([state]) => !["left", "superseded"].includes(state)).reduce((all, [, count]) => all + count, 0);
  return [(rollout.devices.succeeded ?? 0) + (rollout.devices.rolled_back ?? 0), total];
}

export function show(page, context, { query }) {
  return h("div", null,
    page.items.length
      ? table(`${page.total} rollouts, the latest change first`, ["Rollout", "Model", "Phase", "Stage", "Devices", "Why", "Changed"],
          page.items.map((one) => {
            const [reached, total] = done(one);
            return [h("a", { href: `#${at("rollout", one.rollout_id)}` }, one.rollout_id), one.model_id, mood(one.phase), `${one.stage + 1} of ${one.stages}`,
              h("div", null, h("progress", { max: total || 1, value: reached, "aria-label": `${reached} of ${total} devices` }), h("span", { class: "small quiet" }, `${reached} of ${total}`)),
              one.reason, since(one.changed_ms)];
          }))
      : empty("No rollout yet."),
    page.next ? h("p", null, h("a", { href: `#/rollouts?${new URLSearchParams({ ...query, cursor: page.next })}` }, "Next page")) : null,
    context.may("operator") ? start(context) : null);
}

function start(context) {
  return h("section", null, h("h2", null, "Start one"),
    h("form", { onsubmit: (event) => begin(event, context) },
      h("label", { for: "plan" }, "Plan, JSON", h("textarea", { id: "plan", name: "plan", spellcheck: "false", placeholder: EXAMPLE })),
      h("label", { for: "plan-why" }, "Why", h("input", { id: "plan-why", name: "why" })),
      h("div", { class: "row" }, h("button", { type: "submit", name: "how", value: "foresee" }, "What would it do?"), h("button", { class: "main", type: "submit", name: "how", value: "start" }, "Start"))));
}

async function begin(event, context) {
  event.preventDefault();
  const form = event.currentTarget;
  const how = event.submitter.value;
  await context.act(() => {
    const plan = JSON.parse(form.elements.plan.value || "null");
    const body = { plan, why: form.elements.why.value };
    return how === "start" ? send("POST", "/rollouts", body) : send("POST", "/rollouts/foresee", body);
  }, (answer) => {
    if (how === "start") return answer.state === "taken" ? "Asked for; no controller has answered yet" : `The rollout is ${answer.action}`;
    const told = answer.stages.map((stage) => `${stage.stage}: ${stage.devices.length} devices, ${stage.offline} of them offline`).join("; ");
    return `Nothing was done. ${told || "No device would be taken."}`;
  });
}
