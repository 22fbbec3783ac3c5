// Where a model comes from, as a chain: data and script → job → model → copies.
import { html } from "./html.js";
import { modelAddress } from "./address.js";
import { bytes, figure, plural, short, telling } from "./format.js";

const files = (count, hash, none) => (count ? [plural(count, "file"), short(hash)] : [none, ""]);

export function Lineage({ receipt, attempt }) {
  const { received, model } = receipt;
  const without = (used) => (attempt ? used : "none"); // whether it is needed shows only once there is a job
  const links = [
    ["Data", ...files(received.data, received.data_sha256, without("none needed")), received.manifest],
    ["Script", ...files(received.scripts, received.scripts_sha256, without("the built-in trainer")), ""],
  ];
  if (attempt) links.push(["Job", attempt.job, attempt.why, telling(attempt.metrics).map(([name, value]) => `${name} ${figure(value)}`).join(", ")]);
  if (model) {
    links.push(["Model", html`<a href=${modelAddress(model.model)}>${model.model}:${model.version}</a>`, model.champion ? "champion" : "", ""]);
    links.push(["Copies", plural(model.copied, "file"), bytes(model.size), model.path]);
  }
  return html`<section aria-labelledby="lineage">
    <h2 id="lineage">Lineage</h2>
    <ol class="chain">
      ${links.map(
        ([name, what, how, where]) => html`<li><span class="link-name">${name}</span> <b>${what}</b> <span>${how}</span> ${where && html`<code>${where}</code>`}</li>`,
      )}
    </ol>
  </section>`;
}
