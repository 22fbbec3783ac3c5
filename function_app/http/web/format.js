// Times, sizes, numbers and names, as people read them.
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

export function ago(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) || STEPS.at(-1);
  return RELATIVE.format(Math.round(seconds / size), unit);
}

const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const moment = (time) => MOMENT.format(new Date(time));

export function duration(from, to) {
  const seconds = Math.max(0, Math.round((new Date(to || Date.now()) - new Date(from)) / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

export function bytes(size) {
  const power = size ? Math.min(4, Math.floor(Math.log2(size) / 10)) : 0;
  const value = size / 2 ** (10 * power);
  return `${power ? value.toFixed(value < 10 ? 1 : 0) : value} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

export function figure(value) {
  if (value === null) return "NaN"; // what JSON has for it
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

// The metrics to tell of in one line, as [name, value]: counters of steps and time are left out, and paths such as
// `validation/main/loss` where there are plain names too; of paths those of the validation come first.
export const COUNTERS = new Set(["epoch", "iteration", "elapsed_time"]);
export function telling(metrics) {
  const told = Object.entries(metrics || {}).filter(([name]) => !COUNTERS.has(name));
  const plain = told.filter(([name]) => !name.includes("/"));
  const rank = ([name]) => (/^val/i.test(name) ? 0 : 1);
  return (plain.length ? plain : told).sort((a, b) => rank(a) - rank(b) || a[0].localeCompare(b[0]));
}

export const short = (id) => (id || "").slice(0, 8);
export const words = (status) => status.replaceAll("_", " ");
export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
