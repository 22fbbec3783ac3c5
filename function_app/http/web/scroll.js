// Where each step of the history was scrolled to, so that Back leads there again.
const PATIENCE = 10_000;
const places = new Map();
let step = history.state?.step || 0;
let last = step;
let give = () => {};

history.scrollRestoration = "manual";
history.replaceState({ step }, "");
addEventListener("scroll", () => places.set(step, scrollY), { passive: true });

// Called once the address has changed: a new page begins at its top.
export function arrive() {
  give();
  if (history.state?.step === undefined) history.replaceState({ step: (last += 1) }, "");
  step = history.state.step;
  restore(places.get(step) || 0);
}

// A list is there in pieces: go on as it grows, until somebody scrolls.
function restore(place) {
  scrollTo(0, place);
  if (!place) return;
  const stop = new AbortController();
  const grown = new ResizeObserver(() => {
    scrollTo(0, place);
    if (scrollY >= place - 1) give();
  });
  const timer = setTimeout(() => give(), PATIENCE);
  give = () => (grown.disconnect(), clearTimeout(timer), stop.abort());
  for (const input of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(input, give, { signal: stop.signal, passive: true });
  grown.observe(document.body);
}
