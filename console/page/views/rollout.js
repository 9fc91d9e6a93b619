// One rollout: its stages, its gates and what they stand on, its devices, and the controls.

import { at, get, send } from "/page/api.js";
import { ask, empty, h, mood, table, words } from "/page/dom.js";
import { since } from "/page/time.js";
import { done } from "/page/views/rollouts.js";

export const title = ({ id }) => `Rollout ${id}`;
export const kinds = ["rollout", "audit"];

const LIVE = ["running", "baking", "awaiting_approval", "paused"];
const IN_VAIN = ["failed", "timed_out"];
// Action, label, role, phases in which it makes sense, whether it is grave, and a choice that goes with it.
const CONTROLS = [
  ["pause", "Pause", "operator", ["running", "baking", "awaiting_approval"]],
  ["resume", "Resume", "operator", ["paused"]],
  ["approve", "Approve", "approver", ["awaiting_approval"]],
  ["promote", "Promote", "approver", LIVE, false, ["full", "to everybody at once"]],
  ["skip-bake", "End the bake", "approver", ["baking"]],
  ["retry", "Retry failed devices", "operator", LIVE],
  ["retry", "Begin anew", "operator", ["aborted"]],
  ["lift", "Let a class back in", "approver", LIVE],
  ["cancel", "Cancel", "operator", ["scheduled"], true],
  ["abort", "Abort", "operator", LIVE, true, ["rollback", "and roll back", true]],
];

export async function load({ id }) {
  const [rollout, devices, audit] = await Promise.all([
    get(at("rollouts", id)), get(`${at("rollouts", id)}/devices`, { limit: 200 }), get("/audit", { subject: `rollout/${id}`, limit: 20 }),
  ]);
  return { rollout, devices, audit: audit.items.filter((entry) => entry.subject === `rollout/${id}`) };
}

export function show({ rollout, devices, audit }, context) {
  const [reached, total] = done(rollout);
  const plan = rollout.plan ? JSON.parse(rollout.plan.document) : null;
  const offered = CONTROLS.filter(([action, , role, phases]) =>
    phases.includes(rollout.phase) && context.may(role) && can(action, rollout));
  return h("div", null,
    h("p", null, mood(rollout.phase), ` ${rollout.model_id} – ${rollout.reason}, `, since(rollout.changed_ms)),
    h("label", { for: "reached" }, `${reached} of ${total} devices`, h("progress", { id: "reached", max: total || 1, value: reached })),
    h("div", { class: "row" }, offered.map((control) =>
      h("button", { class: control[4] ? "grave" : "main", type: "button", onclick: () => steer(control, rollout, context) }, `${control[1]} …`))),
    h("h2", null, "Stages"),
    h("ol", { class: "stages" }, Array.from({ length: rollout.stages }, (_, number) =>
      h("li", { class: number < rollout.stage || rollout.phase === "succeeded" ? "done" : null, "aria-current": number === rollout.stage && rollout.phase !== "succeeded" ? "step" : null },
        plan?.stages?.[number]?.name ?? `stage ${number + 1}`))),
    h("h2", null, "Gates of this stage"),
    rollout.gates.length
      ? table("Gates and what they stand on", ["Gate", "Verdict", "Why", "Evidence"], rollout.gates.map((gate) => [
          words(gate.gate), mood(gate.verdict), gate.reason,
          Object.entries(gate.evidence).map(([name, value]) => `${words(name)} ${value === null ? "–" : +value.toPrecision(4)}`).join(", ")]))
      : empty("This stage has no gates, or has not come to them yet."),
    h("h2", null, "Devices"),
    devices.items.length
      ? table(`${devices.total} devices`, ["Device", "How far", "#Stage", "#Tries", "Ran before", "What it said", "Changed"], devices.items.map((one) => [
          h("a", { href: `#${at("device", one.device_id)}` }, one.device_id), mood(one.state), one.stage + 1, one.attempts, one.previous_model_id || "–", one.reason, since(one.changed_ms)]))
      : empty("No device has been taken in yet."),
    h("h2", null, "What happened"),
    audit.length === 0 ? empty("The audit log has nothing of it yet.") : table("The latest entries of the audit log", ["When", "What", "Who", "Why"], audit.map((entry) => [since(entry.at_ms), entry.action, entry.who, entry.why])),
    plan ? h("details", null, h("summary", null, "The plan"), h("pre", { class: "small", tabindex: "0" }, JSON.stringify(plan, null, 2))) : null);
}

// Some controls would do nothing where no device is in such a state.
function can(action, rollout) {
  if (action === "lift") return rollout.devices.quarantined > 0;
  if (action === "retry" && rollout.phase !== "aborted") return IN_VAIN.some((state) => rollout.devices[state] > 0);
  return true;
}

async function steer([action, label, , , grave, choice], rollout, context) {
  const box = choice && (() => h("label", { class: "inline", for: "ask-choice" }, h("input", { id: "ask-choice", type: "checkbox", name: choice[0], checked: choice[2] }), choice[1]));
  const trait = () => h("label", { for: "ask-trait" }, "What its devices share, such as hw=rev2", h("input", { id: "ask-trait", name: "trait", required: true }));
  const said = await ask(`${label} ${rollout.rollout_id}`, { confirm: label, grave, fields: action === "lift" ? [trait] : box ? [box] : [] });
  if (!said) return;
  const body = { why: said.why, ...(choice ? { [choice[0]]: choice[0] in said } : {}), ...(action === "lift" ? { trait: said.trait } : {}) };
  await context.act(() => send("POST", `${at("rollouts", rollout.rollout_id)}/${action}`, body), label);
}
