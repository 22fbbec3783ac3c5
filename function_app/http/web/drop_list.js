// The list of drops that a filter asks for, kept true by the live answers.
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { call, query } from "./api.js";
import { isTurn, useFollowed } from "./parts.js";
import { TROUBLED } from "./stages.js";

export const PAGE = 200;

// `problem` is one of loading the list, `stuck` one of reading on. `troubles` counts the reasons to look anew at what needs
// attention: a change of one of the `troubled` experiments, one to a status that is trouble, a list just loaded.
export function useDrops(filter, troubled) {
  const [state, set] = useState({ troubles: 0 });
  const [round, again] = useState(0);
  const stop = useRef(null);
  const address = (after) => `/api/drops${query({ ...filter, limit: PAGE, after })}`;
  const inputs = [filter.experiment, filter.status, round];
  useEffect(() => {
    stop.current = new AbortController();
    set(({ troubles }) => ({ troubles }));
    return () => stop.current.abort();
  }, inputs);
  const load = () => {
    const { signal } = stop.current;
    call(address(), { signal }).then(
      (page) => signal.aborted || set((before) => withFirst(before, page)),
      (problem) => signal.aborted || set((before) => ({ ...before, problem })),
    );
  };
  const hear = (message) => {
    if (isTurn(message)) load();
    if (message.event !== "drop") return;
    const drop = JSON.parse(message.data);
    const isTrouble = TROUBLED.includes(drop.status) || troubled.current.has(drop.experiment);
    set((before) => ({
      ...before,
      items: merged([drop], before.items || []),
      troubles: before.troubles + (isTrouble ? 1 : 0),
    }));
  };
  useFollowed(`/api/live${query({ experiment: filter.experiment })}`, hear, inputs);
  const more = async () => {
    if (state.busy || !state.next) return;
    set((before) => ({ ...before, busy: true, stuck: null }));
    const { signal } = stop.current;
    try {
      const page = await call(address(state.next), { signal });
      if (!signal.aborted) set((before) => ({ ...before, busy: false, items: merged(before.items, page.items), next: page.next }));
    } catch (stuck) {
      if (!signal.aborted) set((before) => ({ ...before, busy: false, stuck }));
    }
  };
  // What has left the list is kept: a line about it that comes late is known to be old.
  const items = state.items?.filter((one) => !filter.status || one.status === filter.status);
  return { ...state, items, more, again: () => again((number) => number + 1) };
}

function withFirst(before, page) {
  const { troubles, items = [] } = before;
  return { ...before, problem: null, troubles: troubles + 1, items: merged(page.items, items), next: page.next };
}

// Two lists as one, newest first, each drop once: of two lines about it the one that was updated later counts.
function merged(first, second) {
  const known = new Map();
  for (const one of [...second, ...first]) {
    const before = known.get(one.receipt);
    if (!before || exact(before.updated_at) <= exact(one.updated_at)) known.set(one.receipt, one);
  }
  const times = new Map([...known.values()].map((one) => [one, exact(one.received_at)]));
  return [...times.keys()].sort((a, b) => (times.get(a) < times.get(b) ? 1 : times.get(a) > times.get(b) ? -1 : 0));
}

// A time as text that sorts: whole seconds have no fraction, and a Date would cut microseconds off.
const exact = (time) => time.replace(/(?:\.(\d+))?Z$/, (_, part = "") => `.${part.padEnd(6, "0")}Z`);
