/* charts.js - the last minutes as lines, drawn by Chart.js; without it the figures alone.
 *
 * A canvas says nothing to a screen reader: each has a label with the figures of now, and they stand
 * beside the chart as text for everybody. */
import { byId, el } from "../dom.js";
import { KEPT_S } from "./history.js";
import * as units from "./units.js";

const { Chart } = globalThis;

const CHARTS = [
    { title: "Requests", unit: units.count, whole: true, lines: [["running", "running"], ["waiting", "waiting"]] },
    { title: "Tokens per second", unit: units.rate, lines: [["written", "generated"], ["read", "of prompts"]] },
    { title: "Time to first token", unit: units.ms, lines: [["ttft50", "half below"], ["ttft95", "95 % below"]] },
    { title: "Between tokens", unit: units.ms, lines: [["gap50", "half below"], ["gap95", "95 % below"]] },
    { title: "Memory of keys and values", unit: units.percent, most: 100, lines: [["kv", "in use"]] },
    { title: "Prefix cache", unit: units.percent, most: 100, lines: [["hits", "of prompts found in it"]] },
];

export const lacking = Chart ? "" : "There are no lines: the server's page was installed without libjs-chart.js.";

/* Seconds that are shown: whole minutes, as many as there are readings of. */
function span(points) {
    const there = points.length ? points.at(-1).at - points[0].at : 0;

    return Math.max(60, Math.min(KEPT_S, Math.ceil(there / 60) * 60));
}

function ago(seconds) {
    if (!seconds) return "now";
    return seconds % 60 ? `${seconds} s` : `${seconds / 60} min`;
}

function colour(name) {
    const probe = el("span", { class: `key ${name}` });

    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
}

function options(chart) {
    const grid = { color: colour("grid"), drawTicks: false };
    const ticks = { color: colour("tick"), font: { size: 11 } };

    return {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        parsing: false,
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { display: false }, tooltip: { callbacks: { title: () => "", label: (c) => `${c.dataset.label}: ${chart.unit(c.parsed.y)}` } } },
        scales: {
            x: { type: "linear", min: -60, max: 0, grid, ticks: { ...ticks, stepSize: 15, callback: ago } },
            y: {
                min: 0, suggestedMax: chart.most ?? (chart.whole ? 4 : 1), max: chart.most, grid,
                ticks: { ...ticks, maxTicksLimit: 5, precision: chart.whole ? 0 : undefined, callback: (y) => chart.unit(y).replace(/\.0+(?= |$)/, "") },
            },
        },
        elements: { point: { radius: 0, hitRadius: 8 }, line: { borderWidth: 2, tension: 0.2 } },
    };
}

function datasets(chart) {
    return chart.lines.map(([, label], i) => {
        const line = colour(`line${i}`);

        return { label, data: [], borderColor: line, backgroundColor: line.replace("rgb(", "rgba(").replace(")", ", 0.14)"), fill: i === 0 };
    });
}

function make(chart) {
    const canvas = el("canvas", { role: "img", "aria-label": chart.title });
    const values = chart.lines.map(([, label], i) => [el("span", { class: `key line${i}` }), el("b", {}, "…"), ` ${label}`]);
    const figure = el("figure", { class: "card" }, el("figcaption", {}, el("h3", {}, chart.title),
        el("p", { class: "values" }, ...values.map((parts) => el("span", {}, ...parts)))), Chart && el("div", { class: "canvas" }, canvas));

    byId("charts").append(figure);
    return {
        chart,
        canvas,
        texts: values.map(([, text]) => text),
        drawn: Chart && new Chart(canvas, { type: "line", data: { datasets: datasets(chart) }, options: options(chart) }),
    };
}

export function charts() {
    const all = CHARTS.map(make);

    return {
        show(points) {
            const last = points.at(-1);

            for (const { chart, canvas, texts, drawn } of all) {
                chart.lines.forEach(([name], i) => (texts[i].textContent = chart.unit(last[name])));
                canvas.setAttribute("aria-label", `${chart.title}: ${chart.lines.map(([name, label]) => `${chart.unit(last[name])} ${label}`).join(", ")}`);
                if (!drawn) continue;
                chart.lines.forEach(([name], i) => (drawn.data.datasets[i].data = points.map((p) => ({ x: p.at - last.at, y: p[name] }))));
                drawn.options.scales.x.min = -span(points);
                drawn.options.scales.x.ticks.stepSize = span(points) > 120 ? 60 : span(points) / 4;
                drawn.update("none");
            }
        },

        /* The colours have changed. */
        recolour() {
            for (const { chart, drawn } of all) {
                if (!drawn) continue;
                datasets(chart).forEach((fresh, i) => Object.assign(drawn.data.datasets[i], { borderColor: fresh.borderColor, backgroundColor: fresh.backgroundColor }));
                drawn.options = options(chart);
                drawn.update("none");
            }
        },
    };
}
