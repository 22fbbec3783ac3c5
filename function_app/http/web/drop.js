// A drop: its progress, its jobs, its lineage, its log, its files.
import { html } from "./html.js";
import { useState } from "./vendor/hooks.js";
import { dropAddress } from "./address.js";
import { call, query } from "./api.js";
import { Figures } from "./figures.js";
import { bytes, plural, short, words } from "./format.js";
import { Lineage } from "./lineage.js";
import { Log } from "./log.js";
import { Action, Loading, Trouble, When, isTurn, useFollowed, useLoaded } from "./parts.js";
import { Badge, Stages, isOver } from "./stages.js";

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
      <h1>${receipt.folder} <code>${short(receipt.drop)}</code> <${Badge} status=${receipt.status} waitingFor=${receipt.waiting_for} /></h1>
      <div class="row"><${Actions} receipt=${receipt} again=${again} /></div>
    </div>
    <${Trouble} problem=${problem} again=${again} />
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
    ${receipt.notes?.length > 0 &&
    html`<div class="box"><strong>Notes</strong>${receipt.notes.map((note) => html`<p>${note}</p>`)}</div>`}
    ${receipt.superseded_by &&
    html`<p class="box">A newer drop took its place: <a href=${dropAddress(receipt.experiment, receipt.superseded_by)}>${short(receipt.superseded_by)}</a>.</p>`}`;
}

const Attempts = ({ attempts, chosen, choose }) => html`<div class="row">
  <label for="attempt">Attempt</label>
  <select id="attempt" value=${chosen.number} onChange=${(event) => choose(Number(event.target.value))}>
    ${attempts.map((one) => html`<option value=${one.number}>${one.number}: ${one.why}</option>`)}
  </select>
</div>`;

function Files({ received }) {
  const settings = received.job_yaml ? [received.job_yaml] : []; // counted with no other file
  const groups = [
    ["Scripts", received.scripts + settings.length, [...settings, ...(received.script_files || [])]],
    ["Data", received.data, received.data_files || []],
  ].filter(([, count]) => count);
  return html`<section aria-labelledby="files">
    <h2 id="files">Files</h2>
    ${groups.map(
      ([name, count, files]) => html`<details>
        <summary>${name}: ${plural(count, "file")}</summary>
        <ul class="paths">
          ${files.map((file) => html`<li><code>${file.name}</code> ${bytes(file.size)}</li>`)}
          ${count > files.length && html`<li>and ${plural(count - files.length, "more file")}, all listed in <code>${received.manifest}</code></li>`}
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
  <p class="quiet">Triggered by <${Trigger} trigger=${receipt.trigger} />. Receipt: <code>receipts/${receipt.experiment}/${receipt.drop}.json</code></p>
</section>`;

// The id of the event that a file raised, unless it says by itself what it is, as `http: <caller>` does.
const Trigger = ({ trigger }) =>
  /^(reconcile$|http: |event: )/.test(trigger) ? html`<code>${trigger}</code>` : html`event <code>${trigger}</code>`;
