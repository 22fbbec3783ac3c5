// Everything that was dropped, newest first, live; what needs attention; and the place to drop more.
import { Component } from "./vendor/preact.js";
import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { call, query } from "./api.js";
import { short, words } from "./format.js";
import { Loading, More, Trouble, When, isTurn, useFollowed, useLoaded } from "./parts.js";
import { Badge, STATUSES, Stages, isBad } from "./stages.js";
import { Uploads } from "./uploads.js";

const PAGE = 200;
const ATTENTION = 5;
const COLUMNS = ["Experiment", "Way", "Status", "Dropped", "Model"];

export function Drops() {
  const [filter, set] = useState({ experiment: "", status: "" });
  const list = useDrops(filter);
  return html`<h1 class="unseen">Drops</h1>
    <${Uploads} />
    <${Attention} changes=${list.bad} />
    <section aria-labelledby="all">
      <div class="row between">
        <h2 id="all">Drops</h2>
        <${Filters} filter=${filter} set=${set} />
      </div>
      <${Trouble} problem=${list.problem} again=${list.again} />
      <${List} list=${list} filter=${filter} />
    </section>`;
}

function Filters({ filter, set }) {
  const [experiments] = useLoaded((signal) => call(`/api/experiments${query({ limit: 200 })}`, { signal }), []);
  return html`<form class="row" role="search" onSubmit=${(event) => event.preventDefault()}>
    <label for="experiment">Experiment</label>
    <input
      id="experiment"
      list="experiments"
      value=${filter.experiment}
      placeholder="all"
      onChange=${(event) => set({ ...filter, experiment: event.target.value.trim() })}
    />
    <datalist id="experiments">${(experiments?.items || []).map((one) => html`<option value=${one.experiment} />`)}</datalist>
    <label for="status">Status</label>
    <select id="status" value=${filter.status} onChange=${(event) => set({ ...filter, status: event.target.value })}>
      <option value="">all</option>
      ${STATUSES.map((status) => html`<option value=${status}>${words(status)}</option>`)}
    </select>
  </form>`;
}

function List({ list, filter }) {
  const minute = useMinute();
  if (!list.items) return list.problem ? null : html`<${Loading} />`;
  if (!list.items.length) {
    return html`<p class="box">
      ${filter.experiment || filter.status
        ? "Nothing matches."
        : "Nothing was dropped yet. Drag a folder with data and a training script onto the field above."}
    </p>`;
  }
  return html`<table class="drops" role="table" aria-labelledby="all">
      <thead role="rowgroup">
        <tr role="row">${COLUMNS.map((name) => html`<th role="columnheader">${name}</th>`)}</tr>
      </thead>
      ${chunks(list.items).map((drops, number) => html`<${Chunk} key=${number} drops=${drops} minute=${minute} />`)}
    </table>
    ${list.next && html`<${More} reach=${list.more} busy=${list.busy} />`}`;
}

// Ten thousand rows are drawn anew a chunk at a time, and only those of chunks that changed.
class Chunk extends Component {
  shouldComponentUpdate({ drops, minute }) {
    const before = this.props.drops;
    return minute !== this.props.minute || drops.length !== before.length || drops.some((drop, at) => drop !== before[at]);
  }

  render({ drops }) {
    return html`<tbody role="rowgroup">${drops.map((drop) => html`<${Row} key=${drop.receipt} drop=${drop} />`)}</tbody>`;
  }
}

const chunks = (items) =>
  Array.from({ length: Math.ceil(items.length / PAGE) }, (_, number) => items.slice(number * PAGE, (number + 1) * PAGE));

// What is said to be so long ago is said anew each minute.
function useMinute() {
  const [minute, set] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => set((number) => number + 1), 60000);
    return () => clearInterval(timer);
  }, []);
  return minute;
}

// The roles are said aloud because rows are laid out as grids and blocks, which would take them away.
const Row = ({ drop }) => html`<tr role="row">
  <td role="cell" data-label="Experiment">
    <a href=${`#/drops/${encodeURIComponent(drop.experiment)}/${drop.drop}`}>${drop.experiment} <code>${short(drop.drop)}</code></a>
  </td>
  <td role="cell" data-label="Way"><${Stages} status=${drop.status} /></td>
  <td role="cell" data-label="Status"><${Badge} status=${drop.status} /></td>
  <td role="cell" data-label="Dropped"><${When} time=${drop.received_at} /></td>
  <td role="cell" data-label="Model">
    ${drop.model ? html`<a href=${`#/models/${encodeURIComponent(drop.model.split(":")[0])}`}>${drop.model}</a>` : "–"}
  </td>
</tr>`;

function Attention({ changes }) {
  const [found] = useLoaded(
    async (signal) => {
      const lists = await Promise.all(
        ["failed", "rejected"].map((status) => call(`/api/drops${query({ status, limit: ATTENTION })}`, { signal })),
      );
      const newest = lists.flatMap((list) => list.items).sort((a, b) => (a.received_at < b.received_at ? 1 : -1));
      return Promise.all(newest.slice(0, ATTENTION).map((one) => call(one.receipt, { signal })));
    },
    [changes],
  );
  if (!found?.length) return null;
  return html`<section aria-labelledby="attention">
    <h2 id="attention">Needs attention</h2>
    <ul class="attention">
      ${found.map(
        (one) => html`<li key=${one.drop}>
          <a href=${`#/drops/${encodeURIComponent(one.experiment)}/${one.drop}`}>${one.experiment} <code>${short(one.drop)}</code></a>
          <${Badge} status=${one.status} /> <${When} time=${one.received_at} />
          <p>${one.reason}</p>
          ${one.what_to_do && html`<p><strong>What to do:</strong> ${one.what_to_do}</p>`}
        </li>`,
      )}
    </ul>
  </section>`;
}

// The list that a filter asks for, kept true by the live answers. `bad` counts drops that went wrong since.
function useDrops(filter) {
  const [state, set] = useState({ bad: 0 });
  const [round, again] = useState(0);
  const stop = useRef(null);
  const address = (after) => `/api/drops${query({ ...filter, limit: PAGE, after })}`;
  const inputs = [filter.experiment, filter.status, round];
  useEffect(() => {
    stop.current = new AbortController();
    set((before) => ({ bad: before.bad }));
    return () => stop.current.abort();
  }, inputs);
  const load = () => {
    const { signal } = stop.current;
    call(address(), { signal }).then(
      (page) => set((before) => ({ ...before, items: merged(page.items, before.items || []), next: page.next })),
      (problem) => signal.aborted || set((before) => ({ ...before, problem })),
    );
  };
  const hear = (message) => {
    if (isTurn(message)) load();
    if (message.event === "drop") set((before) => withChange(before, JSON.parse(message.data), filter));
  };
  useFollowed(`/api/live${query({ experiment: filter.experiment })}`, hear, inputs);
  const more = async () => {
    if (state.busy || !state.next) return;
    set((before) => ({ ...before, busy: true }));
    const { signal } = stop.current;
    try {
      const page = await call(address(state.next), { signal });
      set((before) => ({ ...before, busy: false, items: merged(before.items, page.items), next: page.next }));
    } catch (problem) {
      if (!signal.aborted) set((before) => ({ ...before, busy: false, problem }));
    }
  };
  return { ...state, more, again: () => again((number) => number + 1) };
}

function withChange(before, drop, filter) {
  const bad = before.bad + (isBad(drop.status) ? 1 : 0);
  const others = (before.items || []).filter((one) => one.receipt !== drop.receipt);
  const belongs = !filter.status || drop.status === filter.status;
  return { ...before, bad, items: belongs ? merged([drop], others) : others };
}

// Two lists as one, newest first, each drop once, as it was said to be last.
function merged(first, second) {
  const known = new Map();
  for (const one of [...second, ...first]) {
    const before = known.get(one.receipt);
    if (!before || before.updated_at <= one.updated_at) known.set(one.receipt, one);
  }
  return [...known.values()].sort((a, b) => (a.received_at < b.received_at ? 1 : a.received_at > b.received_at ? -1 : 0));
}
