// Models, their versions, which one is the champion, and their files.
import { html } from "./html.js";
import { useState } from "./vendor/hooks.js";
import { call, query } from "./api.js";
import { bytes, figure, short } from "./format.js";
import { Action, Loading, More, Trouble, When, useLoaded } from "./parts.js";

export function Models() {
  const [pages, set] = useState({ items: [], next: undefined });
  const [first, problem, again] = useLoaded((signal) => call(`/api/models${query({ limit: 100 })}`, { signal }), []);
  const [busy, wait] = useState(false);
  if (!first) return problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<h1>Models</h1><${Loading} />`;
  const items = [...first.items, ...pages.items];
  const next = pages.next === undefined ? first.next : pages.next;
  const more = async () => {
    wait(true);
    const page = await call(`/api/models${query({ limit: 100, after: next })}`);
    set((before) => ({ items: [...before.items, ...page.items], next: page.next || null }));
    wait(false);
  };
  const names = [...new Set(items.map((one) => one.model))];
  return html`<h1>Models</h1>
    ${!names.length && html`<p class="box">No model was registered yet.</p>`}
    <ul class="models">
      ${names.map((name) => {
        const versions = items.filter((one) => one.model === name);
        const best = versions.find((one) => one.champion) || versions[0];
        return html`<li key=${name}>
          <a href=${`#/models/${encodeURIComponent(name)}`}>${name}</a>
          <span>${best.champion ? "champion" : "newest"}: version ${best.version}</span>
          <${Metrics} metrics=${best.metrics} />
        </li>`;
      })}
    </ul>
    ${next && html`<${More} reach=${more} busy=${busy} />`}`;
}

const Metrics = ({ metrics }) =>
  html`<span class="metrics">
    ${Object.entries(metrics || {}).slice(0, 6).map(([name, value]) => html`<span>${name} <b>${figure(value)}</b></span>`)}
  </span>`;

export function Model({ model }) {
  const address = `/api/models/${encodeURIComponent(model)}`;
  const [found, problem, again] = useLoaded((signal) => call(address, { signal }), [address]);
  if (!found) return problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Loading} />`;
  const { champion, versions } = found;
  return html`<p class="quiet"><a href="#/models">Models</a> / ${model}</p>
    <div class="row between">
      <h1>${model}</h1>
      ${champion &&
      html`<div class="row">
        <${Action} label="Roll back" ask="Make the champion before this one the champion again?" path=${`${address}/champion/rollback`} done=${again} />
      </div>`}
    </div>
    <p>
      ${champion
        ? html`Version <b>${champion.version}</b> is the champion since <${When} time=${champion.since} />.`
        : "No version is the champion."}
    </p>
    ${versions.map((one) => html`<${Version} key=${one.version} one=${one} address=${address} again=${again} />`)}`;
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
      ${one.drop && html` · from <a href=${`#/drops/${encodeURIComponent(one.experiment)}/${one.drop}`}>${one.experiment} <code>${short(one.drop)}</code></a>`}
      ${one.job && html` · job <code>${one.job}</code>`}
    </p>
    <details onToggle=${(event) => show(event.target.open)}>
      <summary>Files</summary>
      ${open && html`<${Files} path=${`${address}/${one.version}/files`} />`}
    </details>
  </article>`;
}

function Files({ path }) {
  const [found, problem, again] = useLoaded((signal) => call(path, { signal }), [path]);
  if (!found) return problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Loading} />`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Files of the version">
    <table>
      <thead><tr><th>File</th><th>Size</th><th>SHA-256</th></tr></thead>
      <tbody>
        ${found.items.map(
          (file) => html`<tr>
            <td><a href=${file.url} download=${file.path.split("/").at(-1)}>${file.path}</a></td>
            <td>${bytes(file.size)}</td>
            <td><code title=${file.sha256}>${file.sha256 ? file.sha256.slice(0, 16) : "–"}</code></td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
