// A drop: its way, its job's curves and log, its parameters, its lineage, its files.
import { html } from "./html.js";
import { useEffect, useState } from "./vendor/hooks.js";
import { call, query } from "./api.js";
import { Curves } from "./curves.js";
import { bytes, duration, figure, moment, plural, short, words } from "./format.js";
import { Lineage } from "./lineage.js";
import { Log } from "./log.js";
import { Action, Facts, Loading, Trouble, When, isTurn, useFollowed, useLoaded } from "./parts.js";
import { Badge, Stages, isOver } from "./stages.js";

const METRICS_EVERY = 4000;

export function Drop({ experiment, drop }) {
  const address = `/api/drops/${encodeURIComponent(experiment)}/${drop}`;
  const [receipt, problem, again] = useLoaded((signal) => call(address, { signal }), [address], { later: true });
  const [chosen, choose] = useState(null);
  const hear = (message) => {
    if (isTurn(message) || (message.event === "drop" && JSON.parse(message.data).drop.startsWith(drop))) again();
  };
  useFollowed(`/api/live${query({ experiment })}`, hear, [address]);
  if (!receipt) return problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Loading} />`;
  const attempts = receipt.attempts || [];
  const attempt = attempts.find((one) => one.number === chosen) || attempts.at(-1);
  return html`<p class="quiet"><a href="#/">Drops</a> / ${receipt.folder}</p>
    <div class="row between">
      <h1>${receipt.folder} <code>${short(receipt.drop)}</code> <${Badge} status=${receipt.status} /></h1>
      <div class="row"><${Actions} receipt=${receipt} again=${again} /></div>
    </div>
    <${Stages} status=${receipt.status} received=${receipt.received_at} history=${receipt.history} large />
    <${Said} receipt=${receipt} />
    ${attempts.length > 1 && html`<${Attempts} attempts=${attempts} chosen=${attempt} choose=${choose} />`}
    ${attempt && html`<${Figures} key=${attempt.job} receipt=${receipt} attempt=${attempt} />`}
    <${Lineage} receipt=${receipt} attempt=${attempt} />
    ${attempt && html`<${Log} job=${attempt.job} />`}
    <${Files} received=${receipt.received} />
    <${History} receipt=${receipt} />`;
}

function Actions({ receipt, again }) {
  const job = receipt.attempts?.at(-1)?.job;
  if (!isOver(receipt.status)) {
    return job && receipt.status !== "completed" && receipt.status !== "canceling"
      ? html`<${Action} label="Cancel" ask="Cancel this job?" danger path=${`/api/jobs/${job}/cancel`} done=${again} />`
      : null;
  }
  return job ? html`<${Action} label="Train again" path=${`/api/jobs/${job}/retry`} done=${again} />` : null;
}

function Said({ receipt }) {
  const bad = receipt.status === "failed" || receipt.status === "rejected";
  return html`${receipt.reason &&
    html`<div class=${`box ${bad ? "bad" : "wait"}`}>
      <strong>${receipt.reason}</strong>
      ${receipt.what_to_do && html`<p>What to do: ${receipt.what_to_do}</p>`}
    </div>`}
    ${(receipt.attention || []).map((note) => html`<p class="box wait" key=${note}>${note}</p>`)}
    ${receipt.superseded_by &&
    html`<p class="box">A newer drop took its place: <a href=${`#/drops/${encodeURIComponent(receipt.experiment)}/${receipt.superseded_by}`}>${short(receipt.superseded_by)}</a>.</p>`}`;
}

const Attempts = ({ attempts, chosen, choose }) => html`<div class="row">
  <label for="attempt">Attempt</label>
  <select id="attempt" value=${chosen.number} onChange=${(event) => choose(Number(event.target.value))}>
    ${attempts.map((one) => html`<option value=${one.number}>${one.number}: ${one.why}</option>`)}
  </select>
</div>`;

function Figures({ receipt, attempt }) {
  const [own, set] = useState(null);
  const [others, lay] = useState([]);
  const [list] = useLoaded((signal) => call(`/api/jobs${query({ experiment: receipt.experiment, limit: 20 })}`, { signal }), [receipt.experiment]);
  const goesOn = !isOver(receipt.status) && attempt.job === receipt.attempts.at(-1).job;
  useEffect(() => {
    const stop = new AbortController();
    const look = () => measured(attempt.job, stop.signal).then(set, () => set((before) => before || { name: attempt.job, series: {} }));
    look();
    const timer = goesOn && setInterval(look, METRICS_EVERY);
    return () => (stop.abort(), clearInterval(timer));
  }, [attempt.job, goesOn]);
  const compared = (list?.items || []).filter((one) => one.job && one.job !== attempt.job);
  const toggle = async (event) => {
    const { value, checked } = event.target;
    if (!checked) return lay((before) => before.filter((one) => one.name !== value));
    const found = await measured(value).catch(() => ({ name: value, series: {} }));
    return lay((before) => [...before, found]);
  };
  return html`<section aria-labelledby="figures">
    <h2 id="figures">Metrics</h2>
    ${own ? html`<${Curves} jobs=${[own, ...others]} />` : html`<${Loading} />`}
    ${compared.length > 0 &&
    html`<details>
      <summary>Lay other jobs of this experiment over it</summary>
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
    ["Began", attempt.started && moment(attempt.started)],
    ["Took", lasted],
    ["Exit code", attempt.exit_code],
    ...Object.entries(attempt.metrics || {}).map(([name, value]) => [name, figure(value)]),
    ...Object.entries(own?.parameters || {}),
    ...Object.entries(attempt.links || {}).filter(([, address]) => /^https?:/.test(address)).map(([name, address]) => [name, html`<a href=${address} target="_blank" rel="noopener">open</a>`]),
  ];
  return html`<h3>Job and parameters</h3>
    <${Facts} of=${facts} />`;
}

function Files({ received }) {
  const groups = [
    ["Scripts", received.scripts, received.script_files || []],
    ["Data", received.data, received.data_files || []],
  ].filter(([, count]) => count);
  return html`<section aria-labelledby="files">
    <h2 id="files">Files</h2>
    ${groups.map(
      ([name, count, files]) => html`<details>
        <summary>${name}: ${plural(count, "file")}</summary>
        <ul class="paths">
          ${files.map((file) => html`<li><code>${file.name}</code> ${bytes(file.size)}</li>`)}
          ${count > files.length && html`<li>and ${plural(count - files.length, "more file")}, all named in <code>${received.manifest}</code></li>`}
        </ul>
      </details>`,
    )}
  </section>`;
}

const History = ({ receipt }) => html`<section aria-labelledby="history">
  <h2 id="history">History</h2>
  <ol class="history">
    ${(receipt.history || []).map((change) => html`<li><${When} time=${change.at} /> <b>${words(change.status)}</b> ${change.reason || ""}</li>`)}
    ${(receipt.repeats || []).map((repeat) => html`<li><${When} time=${repeat.at} /> ${repeat.outcome}</li>`)}
  </ol>
  <p class="quiet">Set off by <code>${receipt.trigger}</code>. Receipt: <code>receipts/${receipt.experiment}/${receipt.drop}.json</code></p>
</section>`;
