// The page: which view is shown follows from the part of the address after `#`.
import { render } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { address } from "./address.js";
import { html } from "./html.js";
import { key } from "./api.js";
import { Drops } from "./drops.js";
import { Drop } from "./drop.js";
import { Events } from "./events.js";
import { Model, Models } from "./models.js";
import { Idle, Paused } from "./notices.js";
import { arrive } from "./scroll.js";
import { SignIn, SignOut } from "./sign_in.js";
import { Uploads } from "./uploads.js";

const VIEWS = [
  { name: "Drops", path: "", view: Drops },
  { name: "Models", path: "models", view: Models },
  { name: "Events", path: "events", view: Events },
];

function shown({ parts: [first = "", ...rest], values }) {
  if (first === "drops" && rest.length === 2) return [`Drop in ${rest[0]}`, html`<${Drop} key=${rest.join("/")} experiment=${rest[0]} drop=${rest[1]} />`];
  if (first === "models" && rest.length) return [`Model ${rest[0]}`, html`<${Model} key=${rest[0]} model=${rest[0]} />`];
  const found = VIEWS.find((one) => one.path === first) || VIEWS[0];
  return [found.name, html`<${found.view} values=${values} />`];
}

function App() {
  const [at, go] = useState(address());
  const [locked, lock] = useState(null);
  const main = useRef(null);
  useEffect(() => {
    const stop = new AbortController();
    const on = (name, act) => addEventListener(name, act, { signal: stop.signal });
    on("hashchange", () => {
      go(address());
      main.current?.focus({ preventScroll: true });
      arrive();
    });
    on("kedja:address", () => go(address()));
    on("kedja:unauthenticated", (event) => lock(event.detail));
    return () => stop.abort();
  }, []);
  const [title, view] = shown(at);
  useEffect(() => {
    document.title = `${title} · Kedja`;
  }, [title]);
  const page = at.parts[0] === "drops" ? "" : at.parts[0] || "";
  return html`<a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>Skip to content</a>
    <header class="top">
      <a class="name" href="#/" aria-label="Kedja, all drops"><img src="/ui/icon.svg" alt="" width="28" height="28" />Kedja</a>
      <nav aria-label="Pages">
        ${VIEWS.map((one) => html`<a href=${`#/${one.path}`} aria-current=${page === one.path ? "page" : undefined}>${one.name}</a>`)}
      </nav>
      <div class="row">
        ${!locked && key.get() && html`<${SignOut} done=${lock} />`}
        <${Theme} />
      </div>
    </header>
    ${!locked && html`<${Paused} /><${Idle} />`}
    <main id="main" tabindex="-1" ref=${main}>
      ${locked && html`<${SignIn} problem=${locked} done=${() => lock(null)} />`}
      <div hidden=${locked !== null}><${Uploads} open=${title === "Drops"} /></div>
      ${!locked && view}
    </main>`;
}

function Theme() {
  const [theme, set] = useState(localStorage.getItem("kedja-theme") || "auto");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("kedja-theme", theme);
    dispatchEvent(new Event("kedja:theme"));
  }, [theme]);
  return html`<select aria-label="Theme" value=${theme} onChange=${(event) => set(event.target.value)}>
    <option value="auto">Theme: auto</option>
    <option value="light">Theme: light</option>
    <option value="dark">Theme: dark</option>
  </select>`;
}

render(html`<${App} />`, document.getElementById("app"));
