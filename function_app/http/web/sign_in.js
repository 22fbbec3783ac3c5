// The caller's key: asked for where the service refuses to answer without one, and forgotten again.
import { html } from "./html.js";
import { key } from "./api.js";

export function SignIn({ problem, done }) {
  const enter = (event) => {
    event.preventDefault();
    key.set(new FormData(event.target).get("key").trim());
    done();
  };
  return html`<h1>Sign in</h1>
    <p>${problem.detail || "This service needs an API key."}</p>
    <form class="row" onSubmit=${enter}>
      <label for="key">Kedja API key</label>
      <input id="key" name="key" type="password" autocomplete="off" required placeholder="kedja_…" />
      <button type="submit" class="main">Continue</button>
    </form>
    <p class="quiet">Or <a href="/.auth/login/aad">sign in with your organisation</a>, where that is set up.</p>`;
}

export function SignOut({ done }) {
  const leave = () => {
    key.set("");
    done({ detail: "You are signed out. Enter a key to sign in again." });
  };
  return html`<button type="button" onClick=${leave}>Sign out</button>`;
}
