// Metrics as curves: one chart for losses, one for accuracies and so on, several jobs laid over each other.
import { html } from "./html.js";
import { useEffect, useRef } from "./vendor/hooks.js";
import uPlot from "./vendor/uplot.js";
import { COUNTERS, figure } from "./format.js";

const HEIGHT = 240;
const POINTS = 40; // with fewer, each is marked
const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6"];
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7];
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

// A job's series over its epochs, where it reports them; else over its iterations.
export function byEpoch({ epoch, ...series }) {
  const epochs = new Map((epoch || []).map((point) => [point.step, point.value]));
  const all = Object.entries(series);
  const known = epochs.size > 0 && all.every(([, points]) => points.every((point) => epochs.has(point.step)));
  if (!known) return { epoch, ...series };
  return Object.fromEntries(
    all.map(([metric, points]) => [metric, points.map((point) => ({ ...point, step: epochs.get(point.step) }))]),
  );
}

// `jobs` is [{name, series: {metric: [{step, value, time}]}}]. Returns [[title, [{label, job, metric, points}]]].
export function grouped(jobs) {
  const charts = new Map();
  for (const [number, { name, series }] of jobs.entries()) {
    for (const [metric, points] of Object.entries(byEpoch(series || {}))) {
      if (!points?.length || COUNTERS.has(metric)) continue;
      const title = metric.split("/").at(-1);
      if (!charts.has(title)) charts.set(title, []);
      charts.get(title).push({ label: jobs.length > 1 ? `${metric} · ${name}` : metric, job: number, metric, points });
    }
  }
  const rank = (title) => (/loss/i.test(title) ? 0 : /acc/i.test(title) ? 1 : 2);
  // A figure of the whole job is no curve, if there is any curve: it stands among the job's figures below.
  const curves = [...charts].map(([title, lines]) => [title, lines.filter(({ points }) => points.length > 1)]);
  if (curves.some(([, lines]) => lines.length)) {
    for (const [title, lines] of curves) if (lines.length) charts.set(title, lines); else charts.delete(title);
  }
  return [...charts].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

export const Curves = ({ jobs }) => {
  const charts = grouped(jobs);
  if (!charts.length) return html`<p class="quiet">No metrics yet. Values that Chainer's LogReport writes appear here.</p>`;
  return html`<div class="charts">${charts.map(([title, lines]) => html`<${Chart} key=${title} title=${title} lines=${lines} />`)}</div>`;
};

function Chart({ title, lines }) {
  const place = useRef(null);
  const chart = useRef(null);
  const latest = useRef(lines);
  latest.current = lines;
  useEffect(() => {
    const draw = () => {
      chart.current?.destroy();
      place.current.replaceChildren();
      chart.current = drawn(place.current, latest.current);
    };
    draw();
    const resized = new ResizeObserver(() => chart.current.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    resized.observe(place.current);
    const system = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("kedja:theme", draw);
    system.addEventListener("change", draw);
    return () => {
      removeEventListener("kedja:theme", draw);
      system.removeEventListener("change", draw);
      resized.disconnect();
      chart.current.destroy();
      chart.current = null;
    };
  }, [lines.map(({ label }) => label).join("\n")]);
  useEffect(() => extend(chart.current, aligned(lines)), [lines]);
  const last = lines.map(({ label, points }) => `${label} ${figure(points.at(-1).value)}`).join(", ");
  return html`<figure>
    <figcaption>${title}</figcaption>
    <div ref=${place} role="img" aria-label=${`Curve of ${title}. Latest: ${last}`}></div>
    <details>
      <summary>${title} as a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label=${`Figures of ${title}`}><${Table} lines=${lines} /></div>
    </details>
  </figure>`;
}

function Table({ lines }) {
  const steps = stepsOf(lines);
  const values = lines.map(({ points }) => new Map(points.map((point) => [point.step, point.value])));
  return html`<table>
    <thead><tr><th>Epoch or step</th>${lines.map((line) => html`<th>${line.label}</th>`)}</tr></thead>
    <tbody>
      ${steps.map(
        (step) => html`<tr><th scope="row">${step}</th>${values.map((line) => html`<td>${line.has(step) ? figure(line.get(step)) : ""}</td>`)}</tr>`,
      )}
    </tbody>
  </table>`;
}

const stepsOf = (lines) => [...new Set(lines.flatMap(({ points }) => points.map((point) => point.step)))].sort((a, b) => a - b);

// Steps, and the values of each line over them: null where a job reported what is no number, which leaves a gap, and
// undefined where it reported nothing, which is drawn over.
function aligned(lines) {
  const steps = stepsOf(lines);
  return [steps, ...lines.map(({ points }) => {
    const known = new Map(points.map((point) => [point.step, point.value]));
    return steps.map((step) => known.get(step));
  })];
}

// Show more values in a chart that is there. What somebody zoomed to stays.
function extend(chart, data) {
  const [steps] = chart.data;
  const { min, max } = chart.scales.x;
  // Before its first drawing a chart has no scale yet.
  const zoomed = typeof min === "number" && steps.length > 1 && (min > steps[0] || max < steps.at(-1));
  chart.setData(data, !zoomed);
  if (zoomed) chart.setScale("x", { min, max });
}

function drawn(place, lines) {
  const colour = (name) => {
    place.style.color = `var(${name})`; // what the theme makes of it: a canvas knows no variables
    return getComputedStyle(place).color;
  };
  const several = new Set(lines.map(({ job }) => job)).size > 1;
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule") } };
  const metrics = [...new Set(lines.map(({ metric }) => metric))];
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [{ ...axis, space: 60, incrs: STEPS }, { ...axis, size: 60, values: (_, ticks) => ticks.map(figure) }],
    series: [
      { label: "epoch or step", value: said },
      ...lines.map(({ label, job, metric }, number) => ({
        label,
        width: 2,
        stroke: colour(COLOURS[(several ? job : number) % COLOURS.length]),
        dash: DASHES[several ? metrics.indexOf(metric) % DASHES.length : 0],
        points: { show: (chart) => chart.data[0].length < POINTS },
        value: said,
      })),
    ],
  };
  place.style.color = "";
  return new uPlot(options, aligned(lines), place);
}

// A value in the legend, at the cursor; a dash if there is no cursor, or no value.
const said = (chart, value, line, at) => (at === null || at === undefined || value === undefined ? "–" : figure(value));
