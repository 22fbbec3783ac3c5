// The field to drop a folder onto: what it holds, where it goes, and how far its upload is.
import { html } from "./html.js";
import { useRef, useState } from "./vendor/hooks.js";
import { call } from "./api.js";
import { ofInput, ofTransfer, sorted } from "./folder.js";
import { bytes, plural } from "./format.js";
import { Trouble } from "./parts.js";

const AT_ONCE = 6;
const NAMES_AT_ONCE = 500;
const TRIES = 4;

export function Uploads() {
  const [drop, set] = useState(null);
  const [over, hover] = useState(false);
  const [problem, fail] = useState(null);
  const input = useRef(null);
  const take = (entries) => {
    const found = sorted(entries);
    if (found.files.length) set(found);
    else fail(new Error("There is no file in it."));
  };
  const dropped = (event) => {
    event.preventDefault();
    hover(false);
    fail(null);
    ofTransfer(event.dataTransfer).then(take, fail);
  };
  return html`<section
    class=${`drop-here ${over ? "over" : ""}`}
    aria-labelledby="drop-here"
    onDragOver=${(event) => (event.preventDefault(), hover(true))}
    onDragLeave=${() => hover(false)}
    onDrop=${dropped}
  >
    <h2 id="drop-here">Start a training</h2>
    ${drop
      ? html`<${Review} drop=${drop} close=${() => set(null)} />`
      : html`<p>Drag a folder here: training data, and the Chainer script that trains on it.</p>
          <button type="button" class="main" onClick=${() => input.current.click()}>Choose a folder</button>
          <input
            ref=${input}
            type="file"
            class="unseen"
            tabindex="-1"
            aria-label="Folder with training data and a script"
            webkitdirectory
            multiple
            onChange=${(event) => (fail(null), take(ofInput(event.target)))}
          />`}
    <${Trouble} problem=${problem} />
  </section>`;
}

function Review({ drop, close }) {
  const [name, rename] = useState(drop.folder);
  const [state, set] = useState({});
  const total = drop.files.reduce((sum, one) => sum + one.file.size, 0);
  const count = (container) => drop.files.filter((one) => one.container === container).length;
  const start = async (event) => {
    event.preventDefault();
    set({ done: 0, sent: 0 });
    try {
      await sendAll(name, drop.files, (size) => set(({ done, sent }) => ({ done: done + 1, sent: sent + size })));
      set((before) => ({ ...before, finished: true }));
    } catch (problem) {
      set((before) => ({ ...before, problem }));
    }
  };
  if (state.finished) {
    return html`<p role="status">
        <strong>${plural(drop.files.length, "file")} of ${name} are there.</strong> Once nothing has changed for some seconds, they
        are taken as one drop, which appears below.
      </p>
      <button type="button" onClick=${close}>Drop another</button>`;
  }
  const busy = state.done !== undefined && !state.problem;
  return html`<form onSubmit=${start}>
    <p>${plural(count("data"), "data file")}, ${plural(count("scripts"), "script file")}, ${bytes(total)} in all.</p>
    <div class="row">
      <label for="name">Experiment</label>
      <input id="name" required maxlength="200" pattern="[^\\/]+" value=${name} disabled=${busy} onInput=${(event) => rename(event.target.value)} />
      <button type="submit" class="main" disabled=${busy}>${state.problem ? "Go on" : "Upload"}</button>
      <button type="button" disabled=${busy} onClick=${close}>Cancel</button>
    </div>
    ${state.done !== undefined &&
    html`<progress max=${drop.files.length} value=${state.done} aria-label="Files uploaded"></progress>
      <p class="quiet" role="status">${state.done} of ${plural(drop.files.length, "file")}, ${bytes(state.sent)}</p>`}
    <details>
      <summary>Where each file goes</summary>
      <ul class="paths">
        ${drop.files.slice(0, 200).map((one) => html`<li><code>${one.container}/${name}/${one.name}</code> ${bytes(one.file.size)}</li>`)}
        ${drop.files.length > 200 && html`<li>and ${plural(drop.files.length - 200, "more file")}</li>`}
      </ul>
    </details>
    <${Trouble} problem=${state.problem} />
  </form>`;
}

// Scripts go last, so that a folder is not taken for complete while its data is still on the way.
async function sendAll(experiment, files, told) {
  const queue = [...files].sort((a, b) => (a.container < b.container ? -1 : a.container > b.container ? 1 : 0));
  for (let start = 0; start < queue.length; start += NAMES_AT_ONCE) {
    const some = queue.slice(start, start + NAMES_AT_ONCE);
    const { items } = await call(`/api/experiments/${encodeURIComponent(experiment)}/uploads`, {
      method: "POST",
      body: { files: some.map(({ container, name, file }) => ({ container, name, size: file.size })) },
    });
    const links = new Map(items.map((item) => [`${item.container}/${item.name}`, item]));
    let next = 0;
    const work = async () => {
      while (next < some.length) {
        const one = some[next++];
        await send(links.get(`${one.container}/${one.name}`), one.file);
        told(one.file.size);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }
}

async function send(link, file) {
  if (!link.url) return; // the same file is there already
  for (let tries = 1; ; tries += 1) {
    try {
      // Storage computes the content's hash of what comes in one request.
      const answer = await fetch(link.url, { method: link.method, headers: link.headers, body: file });
      // A link creates once: where the answer to the first try was lost, the second is told that the file is there.
      if (answer.ok || (tries > 1 && (answer.status === 409 || answer.status === 403))) return;
      const refused = new Error(`Storage refused ${link.name}: ${answer.status} ${answer.headers.get("x-ms-error-code") || ""}`);
      if (answer.status < 500 && answer.status !== 408 && answer.status !== 429) throw Object.assign(refused, { final: true });
      throw refused;
    } catch (error) {
      if (error.final || tries >= TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tries));
    }
  }
}
