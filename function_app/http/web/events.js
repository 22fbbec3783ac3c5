// The events that were published lately, live.
import { html } from "./html.js";
import { useState } from "./vendor/hooks.js";
import { dropAddress } from "./address.js";
import { call, query } from "./api.js";
import { short } from "./format.js";
import { Loading, More, Trouble, When, isTurn, useFollowed } from "./parts.js";

const PAGE = 100;

export function Events() {
  const [state, set] = useState({});
  const load = async (after) => {
    const failed = after ? "stuck" : "problem"; // in reading on, or in loading the list
    set((before) => ({ ...before, busy: true, [failed]: null }));
    try {
      const page = await call(`/api/events${query({ limit: PAGE, after })}`);
      set((before) => ({ items: merged(before.items || [], page.items), next: page.next, busy: false }));
    } catch (problem) {
      set((before) => ({ ...before, [failed]: problem, busy: false }));
    }
  };
  const hear = (message) => {
    if (isTurn(message)) load();
    if (message.event === "published") {
      set((before) => ({ ...before, items: merged([JSON.parse(message.data)], before.items || []) }));
    }
  };
  useFollowed("/api/events/live", hear, []);
  return html`<h1>Events</h1>
    <p>Events Kedja has published. Each is delivered at least once, always with the same id.</p>
    <${Trouble} problem=${state.problem} again=${() => load()} />
    ${!state.items && !state.problem && html`<${Loading} />`}
    ${state.items?.length === 0 && html`<p class="box">No events yet.</p>`}
    <ul class="events">
      ${(state.items || []).map(
        (event) => html`<li key=${event.id}>
          <div class="row">
            <b>${event.type.replace("Kedja.", "")}</b>
            <${When} time=${event.time} />
            ${event.data?.drop &&
            html`<a href=${dropAddress(event.data.experiment, event.data.drop)}>${event.data.experiment} <code>${short(event.data.drop)}</code></a>`}
          </div>
          <details><summary>Whole event</summary><pre tabindex="0" aria-label=${`Event ${event.id}`}>${JSON.stringify(event, null, 2)}</pre></details>
        </li>`,
      )}
    </ul>
    ${state.next && html`<${More} reach=${() => load(state.next)} busy=${state.busy} problem=${state.stuck} />`}`;
}

function merged(first, second) {
  const known = new Set(first.map((one) => one.id));
  return [...first, ...second.filter((one) => !known.has(one.id))].sort((a, b) => (a.time < b.time ? 1 : -1));
}
