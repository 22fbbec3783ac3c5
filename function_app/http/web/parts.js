// Small parts that several pages share.
import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { call, followed } from "./api.js";
import { ago, moment } from "./format.js";

const TICK = 10_000;

// Load something, again when one of `inputs` changes; `later` waits for the first `again`. Returns [value, problem, again].
export function useLoaded(load, inputs, { later = false } = {}) {
  const [state, set] = useState({});
  const [round, again] = useState(0);
  useEffect(() => {
    if (later && !round) return undefined;
    const stop = new AbortController();
    load(stop.signal).then(
      (value) => stop.signal.aborted || set({ value }),
      (problem) => stop.signal.aborted || set((before) => ({ ...before, problem })),
    );
    return () => stop.abort();
  }, [...inputs, round]);
  return [state.value, state.problem, () => again((number) => number + 1)];
}

// Load a list page by page: `load` takes the `next` of the page before, and a signal. Inputs and options as `useLoaded`.
export function usePages(load, inputs, options) {
  const [more, set] = useState({ items: [] });
  const [first, problem, again] = useLoaded((signal) => load(undefined, signal), inputs, options);
  const next = more.next === undefined ? first?.next : more.next;
  const reach = async () => {
    set((before) => ({ ...before, busy: true, stuck: null }));
    try {
      const page = await load(next);
      set((before) => ({ items: [...before.items, ...page.items], next: page.next || null }));
    } catch (stuck) {
      set((before) => ({ ...before, busy: false, stuck }));
    }
  };
  const list = { items: first && [...first.items, ...more.items], next, busy: more.busy, stuck: more.stuck, more: reach };
  return [list, problem, again];
}

// Hear what a live address sends, from when the part is shown, or `inputs` change, until it is gone.
export function useFollowed(path, hear, inputs) {
  useEffect(() => {
    const stop = new AbortController();
    (async () => {
      for await (const message of followed(path, stop.signal)) hear(message);
    })();
    return () => stop.abort();
  }, [path, ...inputs]);
}

// Whether it is time to load what is there: every later change is heard, or none is.
export const isTurn = ({ event }) => event === "start" || event === "failed";

export const Trouble = ({ problem, again }) =>
  problem &&
  html`<div class="box bad" role="alert">
    <strong>${problem.message}</strong> ${problem.whatToDo}
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;

export const Loading = () => html`<p class="quiet" role="status">Loading …</p>`;

const clocks = new Set();
setInterval(() => clocks.forEach((tick) => tick()), TICK);

// How long ago something was. All are looked at together, and only those are drawn anew that read differently.
export function When({ time }) {
  const [, say] = useState("");
  useEffect(() => {
    const tick = () => say(ago(time));
    clocks.add(tick);
    return () => clocks.delete(tick);
  }, [time]);
  return html`<time datetime=${time} title=${moment(time)}>${ago(time)}</time>`;
}

// A button that asks the service for something, once at a time, and shows what it refuses.
export function Action({ label, ask, path, method = "POST", body, done, danger }) {
  const [state, set] = useState({});
  const act = async () => {
    if (ask && !confirm(ask)) return;
    set({ busy: true });
    try {
      const answer = await call(path, { method, body });
      set({});
      done?.(answer);
    } catch (problem) {
      set({ problem });
    }
  };
  return html`<button type="button" class=${danger ? "danger" : ""} disabled=${state.busy} onClick=${act}>
      ${state.busy ? `${label} …` : label}
    </button>
    ${state.problem && html`<span class="refused" role="alert">${state.problem.message} ${state.problem.whatToDo}</span>`}`;
}

// Calls `reach` whenever its place comes into view: how a list continues without anyone paging. After a `problem` it waits
// for its button.
export function More({ reach, busy, problem }) {
  const place = useRef(null);
  const latest = useRef(reach);
  latest.current = reach;
  useEffect(() => {
    if (busy || problem) return undefined;
    const seen = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && latest.current(), {
      rootMargin: "800px",
    });
    seen.observe(place.current);
    return () => seen.disconnect();
  }, [busy, problem]);
  return html`<div ref=${place}>
    ${problem
      ? html`<${Trouble} problem=${problem} again=${reach} />`
      : html`<p><button type="button" disabled=${busy} onClick=${reach}>${busy ? "Loading more …" : "Show more"}</button></p>`}
  </div>`;
}

export const Facts = ({ of }) =>
  html`<dl class="facts">
    ${of
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
