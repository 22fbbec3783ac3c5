// The page: which view is shown follows from the part of the address after `#`.
import { render } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { html } from "./html.js";
import { call, key } from "./api.js";
import { Drops } from "./drops.js";
import { Drop } from "./drop.js";
import { Events } from "./events.js";
import { Model, Models } from "./models.js";

const VIEWS = [
  { name: "Drops", path: "", view: Drops },
  { name: "Models", path: "models", view: Models },
  { name: "Events", path: "events", view: Events },
];

const parts = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);

function shown([first = "", ...rest]) {
  if (first === "drops" && rest.length === 2) return [`Drop in ${rest[0]}`, html`<${Drop} key=${rest.join("/")} experiment=${rest[0]} drop=${rest[1]} />`];
  if (first === "models" && rest.length) return [`Model ${rest[0]}`, html`<${Model} key=${rest[0]} model=${rest[0]} />`];
  const found = VIEWS.find((one) => one.path === first) || VIEWS[0];
  return [found.name, html`<${found.view} />`];
}

function App() {
  const [at, go] = useState(parts());
  const [locked, lock] = useState(null);
  const main = useRef(null);
  useEffect(() => {
    const moved = () => {
      go(parts());
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    };
    const refused = (event) => lock(event.detail);
    addEventListener("hashchange", moved);
    addEventListener("kedja:unauthenticated", refused);
    return () => {
      removeEventListener("hashchange", moved);
      removeEventListener("kedja:unauthenticated", refused);
    };
  }, []);
  const [title, view] = shown(at);
  useEffect(() => {
    document.title = `${title} · Kedja`;
  }, [title]);
  return html`<a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>Skip to content</a>
    <header class="top">
      <a class="name" href="#/" aria-label="Kedja, all drops"><img src="/ui/icon.svg" alt="" width="28" height="28" />Kedja</a>
      <nav aria-label="Pages">
        ${VIEWS.map(
          (one) => html`<a href=${`#/${one.path}`} aria-current=${(at[0] === "drops" ? "" : at[0] || "") === one.path ? "page" : undefined}>${one.name}</a>`,
        )}
      </nav>
      <${Theme} />
    </header>
    <${Notice} />
    <main id="main" tabindex="-1" ref=${main}>
      ${locked ? html`<${SignIn} problem=${locked} done=${() => lock(null)} />` : view}
    </main>`;
}

function Theme() {
  const [theme, set] = useState(localStorage.getItem("kedja-theme") || "auto");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("kedja-theme", theme);
    dispatchEvent(new Event("kedja:theme"));
  }, [theme]);
  return html`<label class="theme"
    ><span class="unseen">Colours</span>
    <select value=${theme} onChange=${(event) => set(event.target.value)}>
      <option value="auto">Auto</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  </label>`;
}

function Notice() {
  const [pause, set] = useState(null);
  useEffect(() => {
    const look = () => call("/api/pause").then(set, () => set(null));
    look();
    const timer = setInterval(look, 60000);
    return () => clearInterval(timer);
  }, []);
  if (!pause?.paused) return null;
  return html`<p class="box wait" role="status">
    <strong>Paused${pause.by ? ` by ${pause.by}` : ""}.</strong> ${pause.reason} What is dropped meanwhile is kept.
  </p>`;
}

function SignIn({ problem, done }) {
  const enter = (event) => {
    event.preventDefault();
    key.set(new FormData(event.target).get("key").trim());
    done();
  };
  return html`<h1>Who are you?</h1>
    <p>${problem.detail || "This service knows its callers by a key."}</p>
    <form class="row" onSubmit=${enter}>
      <label for="key">Key of Kedja's</label>
      <input id="key" name="key" type="password" autocomplete="off" required placeholder="kedja_…" />
      <button type="submit" class="main">Go on</button>
    </form>
    <p class="quiet">Or <a href="/.auth/login/aad">sign in with your organisation</a>, where that is set up.</p>`;
}

render(html`<${App} />`, document.getElementById("app"));
