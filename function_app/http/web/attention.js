// What somebody has to look after: drops that came to nothing, and were not followed by a later one.
import { html } from "./html.js";
import { dropAddress } from "./address.js";
import { call, query } from "./api.js";
import { short } from "./format.js";
import { Trouble, When, useLoaded } from "./parts.js";
import { Badge, TROUBLED } from "./stages.js";

const LISTED = 20;
const SHOWN = 5;

// `troubled` is given the experiments shown here: a change of theirs, too, is a reason to look again.
export function Attention({ changes, troubled }) {
  const [found, problem, again] = useLoaded(async (signal) => {
    const drops = await unfollowed(signal);
    troubled.current = new Set(drops.map((one) => one.experiment));
    return drops;
  }, [changes]);
  if (!found?.length) return html`<${Trouble} problem=${problem} again=${again} />`;
  return html`<section aria-labelledby="attention">
    <h2 id="attention">Needs attention</h2>
    <${Trouble} problem=${problem} again=${again} />
    <ul class="attention">
      ${found.map(
        (one) => html`<li key=${one.drop}>
          <div class="row">
            <a href=${dropAddress(one.experiment, one.drop)}>${one.experiment} <code>${short(one.drop)}</code></a>
            <${Badge} status=${one.status} />
            <${When} time=${one.received_at} />
          </div>
          <p>${one.reason}</p>
          ${one.what_to_do && html`<p><strong>What to do:</strong> ${one.what_to_do}</p>`}
        </li>`,
      )}
    </ul>
  </section>`;
}

async function unfollowed(signal) {
  const lists = await Promise.all(TROUBLED.map((status) => call(`/api/drops${query({ status, limit: LISTED })}`, { signal })));
  const newest = lists.flatMap((list) => list.items).sort((a, b) => (a.received_at < b.received_at ? 1 : -1));
  // An older one of the same experiment was followed by the newer.
  const last = newest.filter((one, at) => newest.findIndex((other) => other.experiment === one.experiment) === at);
  const receipts = await Promise.all(last.slice(0, LISTED).map((one) => call(one.receipt, { signal })));
  return receipts.filter((one) => !one.followed_by && TROUBLED.includes(one.status)).slice(0, SHOWN);
}
