// The stages that a drop goes through, and which one it has reached.
import { html } from "./html.js";
import { moment, words } from "./format.js";

export const STAGES = ["Dropped", "Submitted", "Training", "Registering", "Registered"];

const AT = {
  waiting: 0,
  rejected: 0,
  queued: 1,
  submitting: 1,
  submitted: 1,
  starting: 1,
  superseded: 1,
  running: 2,
  failed: 2,
  canceling: 2,
  canceled: 2,
  completed: 3,
  not_registered: 3,
  registered: 4,
};
const BAD = new Set(["rejected", "failed"]);
const ENDED = new Set(["rejected", "failed", "canceled", "superseded", "not_registered", "registered"]);

export const STATUSES = Object.keys(AT);
export const isOver = (status) => ENDED.has(status);
// What somebody may have to do something about.
export const TROUBLED = ["failed", "rejected", "not_registered"];

export const kind = (status) => {
  if (status === "registered") return "good";
  if (BAD.has(status)) return "bad";
  return ENDED.has(status) ? "idle" : status === "waiting" || status === "queued" ? "wait" : "live";
};

const WAITING_FOR = {
  files: "waiting for files",
  compute: "waiting for a compute",
  approval: "waiting for approval",
  "training-service": "waiting for the training service",
};

// `waitingFor` is what a waiting receipt has as `waiting_for`.
export const Badge = ({ status, waitingFor }) =>
  html`<span class=${`badge ${kind(status)}`}>${(status === "waiting" && WAITING_FOR[waitingFor]) || words(status)}</span>`;

// A line of five marks: small in lists, with names and times on a drop's own page.
export function Stages({ status, received, history = [], large = false }) {
  const at = AT[status] ?? 0;
  const when = history.reduce((times, change) => ({ ...times, [AT[change.status]]: change.at }), { 0: received });
  const said = `Stage ${at + 1} of ${STAGES.length}, ${STAGES[at]}: ${words(status)}`;
  if (!large) {
    return html`<span class=${`stages ${kind(status)}`} role="img" aria-label=${said} title=${said}>
      ${STAGES.map((name, number) => html`<i class=${number < at ? "done" : number === at ? "now" : ""}></i>`)}
    </span>`;
  }
  return html`<ol class=${`way ${kind(status)}`} aria-label="Progress of this drop">
    ${STAGES.map(
      (name, number) => html`<li
        class=${number < at ? "done" : number === at ? "now" : ""}
        aria-current=${number === at ? "step" : undefined}
      >
        <b>${name}</b>
        <small>${number <= at && when[number] ? moment(when[number]) : ""}</small>
      </li>`,
    )}
  </ol>`;
}
