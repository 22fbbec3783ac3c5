// Dropping a folder anywhere onto the page: what it holds, where it goes, and how far its upload is.
import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { ofInput, ofTransfer, sorted } from "./folder.js";
import { bytes, plural } from "./format.js";
import { Trouble } from "./parts.js";
import { Upload } from "./upload.js";

const NAMED = 200;
const UNDER_WAY = "An upload is under way. Wait until it ends, or cancel it, then drop the folder again.";

// It is part of every page, so that no upload ends where somebody looks at something else; `open` where it shows its field
// without a folder too.
export function Uploads({ open }) {
  const { upload, problem, take, close } = useUpload();
  const over = useDropped((transfer) => take(ofTransfer(transfer)));
  useLeaveWarning(upload?.state === "running");
  if (!open && !over && !upload && !problem) return null;
  return html`<section class=${`drop-here ${over ? "over" : ""}`} aria-labelledby="drop-here">
    <h2 id="drop-here">Start a training</h2>
    ${upload ? html`<${Review} key=${upload.number} upload=${upload} close=${close} />` : html`<${Choice} take=${take} />`}
    <${Trouble} problem=${problem} />
  </section>`;
}

// The folder that was taken last. One that is read for long does not come after a later one, or into an upload.
function useUpload() {
  const [upload, set] = useState(null);
  const [problem, fail] = useState(null);
  const [, draw] = useState(0);
  const number = useRef(0);
  const latest = useRef(null);
  const shown = (next) => set((latest.current = next));
  const take = async (reading) => {
    const own = (number.current += 1);
    fail(null);
    try {
      const found = sorted(await reading);
      if (own !== number.current) return;
      if (latest.current?.state === "running") throw new Error(UNDER_WAY);
      if (!found.files.length) throw new Error("The folder has no files to upload.");
      shown(new Upload(own, found, () => draw((count) => count + 1)));
    } catch (error) {
      fail(error);
    }
  };
  return { upload, problem, take, close: () => (fail(null), shown(null)) };
}

// Hand on what is dropped anywhere onto the window. Returns whether something is being dragged over it.
function useDropped(take) {
  const [over, hover] = useState(false);
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const stop = new AbortController();
    const on = (name, act) =>
      addEventListener(name, (event) => event.dataTransfer?.types.includes("Files") && act(event), { signal: stop.signal });
    on("dragover", (event) => (event.preventDefault(), hover(true)));
    on("dragleave", (event) => event.relatedTarget || hover(false));
    on("drop", (event) => {
      event.preventDefault();
      hover(false);
      latest.current(event.dataTransfer);
    });
    return () => stop.abort();
  }, []);
  return over;
}

// Ask before the page is left, since that would end the upload.
function useLeaveWarning(busy) {
  useEffect(() => {
    if (!busy) return undefined;
    const ask = (event) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [busy]);
}

function Choice({ take }) {
  const input = useRef(null);
  const chosen = async (event) => {
    await take(ofInput(event.target));
    event.target.value = ""; // so that the same folder can be chosen again
  };
  return html`<p>Drag a folder onto this page: training data, and the Chainer script that trains on it.</p>
    <button type="button" class="main" onClick=${() => input.current.click()}>Choose a folder</button>
    <input
      ref=${input}
      type="file"
      class="unseen"
      tabindex="-1"
      aria-label="Folder with training data and a script"
      webkitdirectory
      multiple
      onChange=${chosen}
    />`;
}

function Review({ upload, close }) {
  const [name, rename] = useState(upload.name);
  const { state, files } = upload;
  if (state === "finished") {
    return html`<p role="status">
        <strong>Uploaded ${plural(files.length, "file")} to ${upload.name}.</strong> After a few seconds without changes they
        become one drop, which appears <a href="#/">in the list</a>.
      </p>
      <button type="button" onClick=${close}>Upload another folder</button>`;
  }
  const count = (container) => files.filter((one) => one.container === container).length;
  const start = (event) => (event.preventDefault(), upload.run(name));
  return html`<form onSubmit=${start}>
    <p>${plural(count("data"), "data file")}, ${plural(count("scripts"), "script file")}, ${bytes(upload.size)} in all.</p>
    <div class="row">
      <label for="name">Experiment</label>
      <input id="name" required maxlength="200" pattern="[^\\/]+" value=${name} disabled=${state !== "ready"} onInput=${(event) => rename(event.target.value)} />
      <button type="submit" class="main" disabled=${state === "running"}>${state === "ready" ? "Upload" : state === "running" ? "Uploading …" : "Continue"}</button>
      <button type="button" onClick=${state === "running" ? () => upload.cancel() : close}>${state === "stopped" ? "Close" : "Cancel"}</button>
    </div>
    ${state !== "ready" && html`<${Progress} upload=${upload} />`}
    <${Places} name=${name} files=${files} />
  </form>`;
}

function Progress({ upload }) {
  const { state, problem, files } = upload;
  return html`<progress max=${upload.size || 1} value=${upload.sent} aria-label="Bytes uploaded"></progress>
    <p class="quiet">${upload.done} of ${plural(files.length, "file")}, ${bytes(upload.sent)} of ${bytes(upload.size)}</p>
    <${Trouble} problem=${problem} />
    ${state === "stopped" &&
    !problem &&
    html`<p class="box" role="status">
      <strong>Upload canceled.</strong> What is in storage already stays there. Continue sends the rest.
    </p>`}`;
}

const Places = ({ name, files }) => html`<details>
  <summary>Where each file goes</summary>
  <ul class="paths">
    ${files.slice(0, NAMED).map((one) => html`<li><code>${one.container}/${name}/${one.name}</code> ${bytes(one.file.size)}</li>`)}
    ${files.length > NAMED && html`<li>and ${plural(files.length - NAMED, "more file")}</li>`}
  </ul>
</details>`;
