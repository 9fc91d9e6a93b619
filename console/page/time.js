// Times in the viewer's zone.

import { h } from "/page/dom.js";

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
// These are words, and the page speaks English.
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function time(ms) {
  if (!ms) return "never";
  return h("time", { datetime: new Date(ms).toISOString(), title: `${full.format(ms)} (${zone})` }, `${short.format(ms)}`);
}

export function since(ms) {
  if (!ms) return "never";
  const seconds = Math.round((ms - Date.now()) / 1000);
  const [amount, unit] =
    Math.abs(seconds) < 90 ? [seconds, "second"]
    : Math.abs(seconds) < 5400 ? [Math.round(seconds / 60), "minute"]
    : Math.abs(seconds) < 129600 ? [Math.round(seconds / 3600), "hour"]
    : [Math.round(seconds / 86400), "day"];
  return h("time", { datetime: new Date(ms).toISOString(), title: `${full.format(ms)} (${zone})` }, ago.format(amount, unit));
}

export const hour = (ms) => clock.format(ms);
