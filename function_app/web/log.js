// A job's log, followed while it grows.
import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { useFollowed } from "./parts.js";

const KEPT = 2_000_000;
const TERMINAL = /\u001b\[[0-9;?]*[A-Za-z]/g; // what moves a terminal's cursor, as PrintReport does, or colours its text

export function Log({ job }) {
  const [state, set] = useState({ text: "", ended: false, cut: false });
  const box = useRef(null);
  const atEnd = useRef(true);
  useEffect(() => set({ text: "", ended: false, cut: false }), [job]);
  const hear = ({ event, data }) => {
    if (event === "end") set((before) => ({ ...before, ended: true }));
    if (event !== "log") return;
    set((before) => {
      const text = before.text + JSON.parse(data).text.replace(TERMINAL, "");
      return { ...before, text: text.slice(-KEPT), cut: before.cut || text.length > KEPT };
    });
  };
  useFollowed(`/api/jobs/${encodeURIComponent(job)}/logs/live`, hear, []);
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [state.text]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  return html`<section aria-labelledby="log">
    <div class="row between">
      <h2 id="log">Log</h2>
      <a href=${`/api/jobs/${encodeURIComponent(job)}/logs`} target="_blank" rel="noopener">Open as text</a>
    </div>
    ${state.cut && html`<p class="quiet">The beginning is left out here; it is in the text.</p>`}
    <pre ref=${box} class="log" tabindex="0" role="log" aria-live="off" aria-label="Log of the job" onScroll=${scrolled}>${state.text || "Nothing yet."}</pre>
    <p class="quiet" role="status">${state.ended ? "The log is complete." : "Live."}</p>
  </section>`;
}
