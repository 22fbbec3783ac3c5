// Whether somebody looks at the page: while nobody does, it asks the service for nothing, so that the service may stop.
const IDLE = 30 * 60_000;
const INPUTS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"];

const waiting = new Set();
let idle = false;
let timer;

export const isPresent = () => !idle && !document.hidden;
export const isIdle = () => idle;

// Settle once somebody looks at the page, or `signal` is aborted.
export function presence(signal) {
  if (isPresent() || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    waiting.add(resolve);
    signal.addEventListener("abort", () => (waiting.delete(resolve), resolve()), { once: true });
  });
}

// Call `act` now and every so many milliseconds, while somebody looks. Returns what ends it.
export function everyWhilePresent(milliseconds, act) {
  const stop = new AbortController();
  (async () => {
    while (!stop.signal.aborted) {
      await presence(stop.signal);
      if (!stop.signal.aborted) act();
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
  })();
  return () => stop.abort();
}

function changed() {
  if (isPresent()) {
    for (const resolve of waiting) resolve();
    waiting.clear();
  }
  dispatchEvent(new Event("kedja:presence"));
}

function used() {
  clearTimeout(timer);
  timer = setTimeout(() => ((idle = true), changed()), IDLE);
  if (!idle) return;
  idle = false;
  changed();
}

for (const input of INPUTS) addEventListener(input, used, { capture: true, passive: true });
document.addEventListener("visibilitychange", () => (document.hidden || used(), changed()));
used();
