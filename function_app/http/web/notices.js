// What holds for the whole page: that Kedja is paused, or that the page itself is.
import { html } from "./html.js";
import { useEffect, useState } from "./vendor/hooks.js";
import { call } from "./api.js";
import { everyWhilePresent, isIdle } from "./presence.js";

const EVERY = 60_000;

export function Paused() {
  const [pause, set] = useState(null);
  useEffect(() => everyWhilePresent(EVERY, () => call("/api/pause").then(set, () => set(null))), []);
  if (!pause?.paused) return null;
  return html`<p class="box wait" role="status">
    <strong>Paused${pause.by ? ` by ${pause.by}` : ""}.</strong> ${pause.reason} Files dropped now are kept and taken later.
  </p>`;
}

export function Idle() {
  const [idle, set] = useState(isIdle());
  useEffect(() => {
    const look = () => set(isIdle());
    addEventListener("kedja:presence", look);
    return () => removeEventListener("kedja:presence", look);
  }, []);
  // Any input resumes; the button is there to be found.
  return html`<div role="status">
    ${idle &&
    html`<p class="box wait">
      <strong>Live updates are paused,</strong> since this page has not been used for 30 minutes. <button type="button">Resume</button>
    </p>`}
  </div>`;
}
