// A job's log, followed while it grows.
import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { fetched, query } from "./api.js";
import { Trouble, useFollowed } from "./parts.js";

const KEPT = 2_000_000;
const TERMINAL = /\u001b\[[0-9;?]*[A-Za-z]/g; // what moves a terminal's cursor, as PrintReport does, or colours its text

export function Log({ job }) {
  const [state, set] = useState({ text: "", ended: false, cut: false });
  const box = useRef(null);
  const atEnd = useRef(true);
  const address = `/api/jobs/${encodeURIComponent(job)}/logs`;
  useEffect(() => set({ text: "", ended: false, cut: false }), [job]);
  const hear = ({ event, data }) => {
    if (event === "end") set((before) => ({ ...before, ended: true }));
    if (event !== "log") return;
    set((before) => {
      const text = before.text + JSON.parse(data).text.replace(TERMINAL, "");
      return { ...before, text: text.slice(-KEPT), cut: before.cut || text.length > KEPT };
    });
  };
  useFollowed(`${address}/live`, hear, []);
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
      <${Download} address=${address} name=${`${job}.log`} />
    </div>
    ${state.cut && html`<p class="quiet">The beginning is left out here. The download has the whole log.</p>`}
    <pre ref=${box} class="log" tabindex="0" role="log" aria-live="off" aria-label="Log of the job" onScroll=${scrolled}>${state.text || "Nothing yet."}</pre>
    <p class="quiet" role="status">${state.ended ? "The log is complete." : "Live."}</p>
  </section>`;
}

// A link could send no key, and one answer has a piece of the log alone.
function Download({ address, name }) {
  const [{ busy, problem }, set] = useState({});
  const load = async () => {
    set({ busy: true });
    try {
      save(name, await pieces(address));
      set({});
    } catch (refusal) {
      set({ problem: refusal });
    }
  };
  return html`<button type="button" disabled=${busy} onClick=${load}>${busy ? "Downloading …" : "Download the log"}</button>
    <${Trouble} problem=${problem} />`;
}

async function pieces(address) {
  const found = [];
  for (let offset = 0; ; ) {
    const answer = await fetched(`${address}${query({ offset })}`, { headers: { accept: "text/plain" } });
    const next = Number(answer.headers.get("x-next-offset"));
    found.push(await answer.blob());
    if (next <= offset) return new Blob(found, { type: "text/plain" }); // nothing more yet, or ever
    offset = next;
  }
}

function save(name, content) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
