// The page: who is there, what they look at, and what keeps it current.

import { get, send } from "/page/api.js";
import { h, patchChildren, prose, tell } from "/page/dom.js";
import { follow, stop } from "/page/live.js";
import { zone } from "/page/time.js";
import * as alerts from "/page/views/alerts.js";
import * as audit from "/page/views/audit.js";
import * as device from "/page/views/device.js";
import * as devices from "/page/views/devices.js";
import * as keys from "/page/views/keys.js";
import * as models from "/page/views/models.js";
import * as overview from "/page/views/overview.js";
import * as policies from "/page/views/policies.js";
import * as rollout from "/page/views/rollout.js";
import * as rollouts from "/page/views/rollouts.js";
import * as trainings from "/page/views/trainings.js";
import { signIn, welcome } from "/page/views/door.js";

// Each has title(args), kinds, load(args) and show(data, context).
const VIEWS = { "": overview, devices, device, alerts, rollouts, rollout, models, trainings, policies, audit, keys };
const NAV = [["", "Fleet"], ["devices", "Devices"], ["alerts", "Alerts"], ["rollouts", "Rollouts"], ["models", "Models"], ["trainings", "Trainings"], ["policies", "Policies"], ["audit", "Audit"]];
const ROLES = ["viewer", "operator", "approver", "admin"];
const REFRESH_MS = 15000;
const RETRY_MS = 5000;

const main = document.getElementById("main");
let me = null;
let turn = 0;
let timer = null;
let standing = "waiting";
// What is shown could not be read anew.
let failing = false;

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  return { name, id: decoded(rest.join("/")), query: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

// Addresses are typed by hand as well.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function open(how = {}) {
  try {
    await begin(how);
  } catch (problem) {
    draw(trouble(problem), "Driftline", true);
    timer = setTimeout(() => open(how), RETRY_MS);
  }
}

async function begin({ keepFocus = false }) {
  const here = place();
  const mine = ++turn;
  clearTimeout(timer);
  if (here.name === "welcome") return enter(await welcome(here.id));
  me ??= await get("/session").catch((problem) => (problem.status === 401 ? null : Promise.reject(problem)));
  if (mine !== turn) return;
  if (me === null) {
    stop();
    head();
    return draw(await signIn(enter, here.name === "refused" ? here.id : ""), "Sign in", keepFocus);
  }
  const view = VIEWS[here.name];
  if (!view) return draw(h("p", { class: "empty" }, "There is no such page."), "Not found", keepFocus);
  head();
  const refresh = () => look(view, here, mine, true);
  await look(view, here, mine, keepFocus);
  if (mine === turn) {
    follow(view.kinds, here.name === "device" ? here.id : "", refresh, (how) => {
      standing = how;
      head();
    });
  }
}

async function look(view, here, mine, keepFocus) {
  if (mine !== turn) return;
  clearTimeout(timer);
  const context = {
    me,
    may: (role) => ROLES.indexOf(me.role) >= ROLES.indexOf(role),
    again: () => look(view, here, mine, true),
    // Does something and tells how it went.
    act: async (doing, done) => {
      try {
        const answer = await doing();
        tell(typeof done === "function" ? done(answer) : answer?.state === "taken" ? `${done}: asked for, not yet confirmed` : done);
        setTimeout(context.again, 700);
        return answer;
      } catch (problem) {
        tell(`${problem.message}${problem.hint ? ` (${problem.hint})` : ""}`);
        return null;
      }
    },
  };
  let shown;
  let failed = false;
  try {
    shown = view.show(await view.load(here), context, here);
  } catch (problem) {
    if (problem.status === 401) {
      me = null;
      return open();
    }
    shown = trouble(problem);
    failed = !(problem.status >= 400 && problem.status < 500);
  }
  if (mine !== turn) return;
  draw(shown, view.title(here), keepFocus);
  if (failed !== failing) {
    failing = failed;
    head();
  }
  timer = setTimeout(context.again, failing ? RETRY_MS : REFRESH_MS);
}

function trouble(problem) {
  if (!("status" in problem)) console.error(problem);
  return h("div", { class: "notice bad", role: "alert" }, h("strong", null, prose(problem.message)), problem.hint ? h("p", null, prose(problem.hint)) : null);
}

function draw(content, title, keepFocus) {
  const wanted = h("main", null, h("h1", { tabindex: "-1" }, title), content);
  document.title = `${title} – Driftline`;
  if (keepFocus) return patchChildren(main, wanted);
  main.replaceChildren(...wanted.childNodes);
  window.scrollTo(0, 0);
  main.querySelector("h1").focus();
}

function head() {
  const { name } = place();
  const current = { device: "devices", rollout: "rollouts" }[name] ?? name;
  const items = me?.role === "admin" ? [...NAV, ["keys", "Who may"]] : NAV;
  const wanted = h(
    "header",
    null,
    h(
      "div",
      { class: "bar" },
      h("a", { class: "brand", href: "#/" }, h("img", { src: "/page/icon.svg", alt: "" }), "Driftline"),
      me
        ? h("nav", { "aria-label": "Pages" }, items.map(([path, label]) =>
            h("a", { href: `#/${path}`, "aria-current": path === current ? "page" : null }, label)))
        : h("span"),
      me ? h("span", { class: "small quiet" }, failing ? "▲ stale" : standing === "live" ? "● live" : "○ connecting …") : null,
      me ? h("span", { id: "who", class: "small quiet", title: `Times are in ${zone}` }, `${me.name} (${me.role})`) : null,
      h("button", { type: "button", onclick: turnLight, "aria-label": "Light or dark" }, "◐"),
      me ? h("button", { type: "button", onclick: leave }, "Sign out") : null,
    ),
  );
  patchChildren(document.getElementById("head"), wanted);
}

function turnLight() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem("theme", dark ? "light" : "dark");
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}

async function leave() {
  await send("DELETE", "/session").catch(() => null);
  me = null;
  open();
}

function enter(who) {
  if (!who) return;
  me = who;
  if (["welcome", "refused"].includes(place().name)) history.replaceState(null, "", "#/");
  open();
}

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
window.addEventListener("hashchange", () => open());
// What is behind the # names pages here, so the link cannot lead there by itself.
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault();
  main.focus();
  main.scrollIntoView();
};
open();
