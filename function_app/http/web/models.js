// Models, their versions, which one is the champion, and their files.
import { html } from "./html.js";
import { useState } from "./vendor/hooks.js";
import { dropAddress, modelAddress } from "./address.js";
import { call, query } from "./api.js";
import { bytes, figure, short, telling } from "./format.js";
import { Action, Loading, More, Trouble, When, isTurn, useFollowed, useLoaded, usePages } from "./parts.js";

const PAGE = 100;
const METRICS = 6;

// Call `again` at first, and where a version was registered, of this model or of any.
function useRegistered(again, model) {
  const hear = (message) => {
    if (isTurn(message)) again();
    if (message.event !== "published") return;
    const { type, data } = JSON.parse(message.data);
    if (type === "Kedja.ModelRegistered" && (!model || data.model === model)) again();
  };
  useFollowed("/api/events/live", hear, [model]);
}

export function Models() {
  const page = (after, signal) => call(`/api/models${query({ limit: PAGE, after })}`, { signal });
  const [list, problem, again] = usePages(page, [], { later: true });
  useRegistered(again);
  return html`<h1>Models</h1>
    <${Trouble} problem=${problem} again=${again} />
    ${list.items ? html`<${List} items=${list.items} isAll=${!list.next} />` : !problem && html`<${Loading} />`}
    ${list.next && html`<${More} reach=${list.more} busy=${list.busy} problem=${list.stuck} />`}`;
}

function List({ items, isAll }) {
  const names = [...new Set(items.map((one) => one.model))];
  if (!names.length) return isAll && html`<p class="box">No models yet.</p>`;
  return html`<ul class="models">
    ${names.map((name) => {
      const versions = items.filter((one) => one.model === name);
      const best = versions.find((one) => one.champion) || versions[0];
      return html`<li key=${name}>
        <a href=${modelAddress(name)}>${name}</a>
        <span>${best.champion ? "champion" : "newest"}: version ${best.version}</span>
        <${Metrics} metrics=${best.metrics} />
      </li>`;
    })}
  </ul>`;
}

const Metrics = ({ metrics }) =>
  html`<span class="metrics">
    ${telling(metrics).slice(0, METRICS).map(([name, value]) => html`<span>${name} <b>${figure(value)}</b></span>`)}
  </span>`;

export function Model({ model }) {
  const address = `/api/models/${encodeURIComponent(model)}`;
  const [found, problem, again] = useLoaded((signal) => call(address, { signal }), [address], { later: true });
  useRegistered(again, model);
  const trouble = html`<${Trouble} problem=${problem} again=${again} />`;
  if (!found) return problem ? trouble : html`<${Loading} />`;
  const { champion, versions } = found;
  return html`<p class="quiet"><a href="#/models">Models</a> / ${model}</p>
    ${trouble}
    <div class="row between">
      <h1>${model}</h1>
      ${hasEarlier(champion) &&
      html`<div class="row">
        <${Action} label="Roll back" ask="Make the previous champion the champion again?" path=${`${address}/champion/rollback`} done=${again} />
      </div>`}
    </div>
    <p>
      ${champion ? html`Version <b>${champion.version}</b> became champion <${When} time=${champion.since} />.` : "No version is the champion."}
    </p>
    ${versions.map((one) => html`<${Version} key=${one.version} one=${one} address=${address} again=${again} />`)}`;
}

// Whether there is a version to roll back to: one that somebody rolled back from is none.
function hasEarlier(champion) {
  const passed = new Set([champion?.version]);
  return [...(champion?.history || [])].reverse().some(({ version, withdrawn }) => {
    if (!passed.has(version) && !withdrawn) return true;
    passed.add(version);
    return false;
  });
}

function Version({ one, address, again }) {
  const [open, show] = useState(false);
  return html`<article class="version" aria-label=${`Version ${one.version}`}>
    <div class="row between">
      <h2>Version ${one.version} ${one.champion && html`<span class="badge good">champion</span>`}</h2>
      ${!one.champion &&
      html`<div class="row"><${Action} label="Promote" ask=${`Make version ${one.version} the champion?`} path=${`${address}/champion`} method="PUT" body=${{ version: one.version }} done=${again} /></div>`}
    </div>
    <${Metrics} metrics=${one.metrics} />
    <p class="quiet">
      ${one.created && html`<${When} time=${one.created} />`}
      ${one.drop && html` · from <a href=${dropAddress(one.experiment, one.drop)}>${one.experiment} <code>${short(one.drop)}</code></a>`}
      ${one.job && html` · job <code>${one.job}</code>`}
    </p>
    <details onToggle=${(event) => show(event.target.open)}>
      <summary>Files</summary>
      ${open && html`<${Files} path=${`${address}/${one.version}/files`} />`}
    </details>
  </article>`;
}

function Files({ path }) {
  const page = (after, signal) => call(`${path}${query({ limit: PAGE, after })}`, { signal });
  const [list, problem, again] = usePages(page, [path]);
  if (!list.items) return problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Loading} />`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Files of the version">
    <table>
      <thead><tr><th>File</th><th>Size</th><th>SHA-256</th></tr></thead>
      <tbody>
        ${list.items.map(
          (file) => html`<tr key=${file.path}>
            <td><a href=${file.url} download=${file.path.split("/").at(-1)}>${file.path}</a></td>
            <td>${bytes(file.size)}</td>
            <td><code title=${file.sha256}>${file.sha256 ? file.sha256.slice(0, 16) : "–"}</code></td>
          </tr>`,
        )}
      </tbody>
    </table>
    ${list.next && html`<${More} reach=${list.more} busy=${list.busy} problem=${list.stuck} />`}
  </div>`;
}
