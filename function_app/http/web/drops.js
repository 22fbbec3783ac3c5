// Everything that was dropped, newest first, live; and what needs attention.
import { Component } from "./vendor/preact.js";
import { html } from "./html.js";
import { useRef } from "./vendor/hooks.js";
import { dropAddress, modelAddress, setValues } from "./address.js";
import { call, query } from "./api.js";
import { Attention } from "./attention.js";
import { PAGE, useDrops } from "./drop_list.js";
import { short, words } from "./format.js";
import { Loading, More, Trouble, When, useLoaded } from "./parts.js";
import { Badge, STATUSES, Stages } from "./stages.js";

const COLUMNS = ["Experiment", "Progress", "Status", "Dropped", "Model"];
const ROW = 2.6; // rem

export function Drops({ values: { experiment = "", status = "" } }) {
  const filter = { experiment, status: STATUSES.includes(status) ? status : "" };
  const troubled = useRef(new Set());
  const list = useDrops(filter, troubled);
  return html`<h1 class="unseen">Drops</h1>
    ${list.troubles > 0 && html`<${Attention} changes=${list.troubles} troubled=${troubled} />`}
    <section aria-labelledby="all">
      <div class="row between">
        <h2 id="all">Drops</h2>
        <${Filters} filter=${filter} />
      </div>
      <${Trouble} problem=${list.problem} again=${list.again} />
      <${List} list=${list} filter=${filter} />
    </section>`;
}

function Filters({ filter }) {
  const [experiments] = useLoaded((signal) => call(`/api/experiments${query({ limit: 100 })}`, { signal }), []);
  return html`<form class="row" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label for="experiment">Experiment</label>
    <input
      id="experiment"
      list="experiments"
      value=${filter.experiment}
      placeholder="all"
      onChange=${(event) => setValues({ ...filter, experiment: event.target.value.trim() })}
    />
    <datalist id="experiments">${(experiments?.items || []).map((one) => html`<option value=${one.experiment} />`)}</datalist>
    <label for="status">Status</label>
    <select id="status" value=${filter.status} onChange=${(event) => setValues({ ...filter, status: event.target.value })}>
      <option value="">all</option>
      ${STATUSES.map((status) => html`<option value=${status}>${words(status)}</option>`)}
    </select>
  </form>`;
}

function List({ list, filter }) {
  if (!list.items) return list.problem ? null : html`<${Loading} />`;
  if (!list.items.length && !list.next) {
    return html`<p class="box">
      ${filter.experiment || filter.status
        ? "Nothing matches."
        : "No drops yet. Drag a folder with data and a training script onto this page."}
    </p>`;
  }
  return html`<table class="drops" role="table" aria-labelledby="all">
      <thead role="rowgroup">
        <tr role="row">${COLUMNS.map((name) => html`<th role="columnheader">${name}</th>`)}</tr>
      </thead>
      ${chunks(list.items).map((drops, number) => html`<${Chunk} key=${number} drops=${drops} />`)}
    </table>
    ${list.next && html`<${More} reach=${list.more} busy=${list.busy} problem=${list.stuck} />`}`;
}

// Ten thousand rows are drawn anew a chunk at a time, and only those of chunks that changed.
class Chunk extends Component {
  shouldComponentUpdate({ drops }) {
    const before = this.props.drops;
    return drops.length !== before.length || drops.some((drop, at) => drop !== before[at]);
  }

  render({ drops }) {
    const size = { containIntrinsicSize: `auto ${ROW * drops.length}rem` };
    return html`<tbody role="rowgroup" style=${size}>${drops.map((drop) => html`<${Row} key=${drop.receipt} drop=${drop} />`)}</tbody>`;
  }
}

const chunks = (items) =>
  Array.from({ length: Math.ceil(items.length / PAGE) }, (_, number) => items.slice(number * PAGE, (number + 1) * PAGE));

// The roles are said aloud because rows are laid out as grids and blocks, which would take them away.
const Row = ({ drop }) => html`<tr role="row">
  <td role="cell" data-label="Experiment">
    <a href=${dropAddress(drop.experiment, drop.drop)}>${drop.experiment} <code>${short(drop.drop)}</code></a>
  </td>
  <td role="cell" data-label="Progress"><${Stages} status=${drop.status} /></td>
  <td role="cell" data-label="Status"><${Badge} status=${drop.status} /></td>
  <td role="cell" data-label="Dropped"><${When} time=${drop.received_at} /></td>
  <td role="cell" data-label="Model">${drop.model ? html`<a href=${modelAddress(drop.model.split(":")[0])}>${drop.model}</a>` : "–"}</td>
</tr>`;
