// What a job measured: its curves, others laid over them, and its parameters.
import { html } from "./html.js";
import { useEffect, useState } from "./vendor/hooks.js";
import { call, query } from "./api.js";
import { Curves } from "./curves.js";
import { duration, figure, moment } from "./format.js";
import { Facts, Loading, Trouble, useLoaded } from "./parts.js";
import { everyWhilePresent } from "./presence.js";
import { Badge, isOver } from "./stages.js";

const EVERY = 4000;
const SITES = { mlflow: "MLflow", studio: "Azure ML studio" };

export function Figures({ receipt, attempt }) {
  const [{ own, problem }, set] = useState({});
  const [others, lay] = useState([]);
  const [round, again] = useState(0);
  const [list] = useLoaded((signal) => call(`/api/jobs${query({ experiment: receipt.experiment, limit: 20 })}`, { signal }), [receipt.experiment]);
  const goesOn = !isOver(receipt.status) && attempt.job === receipt.attempts.at(-1).job;
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    const look = () =>
      measured(attempt.job, signal).then(
        (found) => signal.aborted || set({ own: found }),
        (refusal) => signal.aborted || set((before) => ({ ...before, problem: refusal })),
      );
    if (!goesOn) look();
    const end = goesOn && everyWhilePresent(EVERY, look);
    return () => (stop.abort(), end && end());
  }, [attempt.job, goesOn, round]);
  const compared = (list?.items || []).filter((one) => one.job && one.job !== attempt.job);
  const toggle = async (event) => {
    const { value, checked } = event.target;
    if (!checked) return lay((before) => before.filter((one) => one.name !== value));
    try {
      const found = await measured(value);
      return lay((before) => [...before, found]);
    } catch (refusal) {
      event.target.checked = false;
      return set((before) => ({ ...before, problem: refusal }));
    }
  };
  return html`<section aria-labelledby="figures">
    <h2 id="figures">Metrics</h2>
    <${Trouble} problem=${problem} again=${() => again((number) => number + 1)} />
    ${own ? html`<${Curves} jobs=${[own, ...others]} />` : !problem && html`<${Loading} />`}
    ${compared.length > 0 &&
    html`<details>
      <summary>Compare with other jobs</summary>
      <fieldset class="choices">
        <legend class="unseen">Jobs to compare with</legend>
        ${compared.map(
          (one) => html`<label><input type="checkbox" value=${one.job} onChange=${toggle} /> ${one.job} <${Badge} status=${one.status} /></label>`,
        )}
      </fieldset>
    </details>`}
    <${Parameters} attempt=${attempt} own=${own} />
  </section>`;
}

const measured = async (job, signal) => ({ name: job, ...(await call(`/api/jobs/${encodeURIComponent(job)}/metrics`, { signal })) });

function Parameters({ attempt, own }) {
  const lasted = attempt.started && duration(attempt.started, attempt.ended);
  const facts = [
    ["Job", html`<code>${attempt.job}</code>`],
    ["Why", attempt.why],
    ["Started", attempt.started && moment(attempt.started)],
    [attempt.ended ? "Took" : "Running for", lasted],
    ["Exit code", attempt.exit_code],
    ...Object.entries(attempt.metrics || {}).map(([name, value]) => [name, figure(value)]),
    ...Object.entries(own?.parameters || {}),
    ...Object.entries(attempt.links || {}).filter(([, address]) => /^https?:/.test(address)).map(([name, address]) => [SITES[name] || name, html`<a href=${address} target="_blank" rel="noopener">${`Open in ${SITES[name] || name}`}</a>`]),
  ];
  return html`<h3>Job and parameters</h3>
    <${Facts} of=${facts} />`;
}
