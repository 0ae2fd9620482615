/* metrics.js - Prometheus' text format, as far as Airstrip writes it, and percentiles of histograms. */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

function number(text) {
    return text === "+Inf" ? Infinity : Number(text);
}

/* name -> [{ labels, value }] */
export function parse(text) {
    const found = new Map();

    for (const line of text.split("\n")) {
        const match = LINE.exec(line);

        if (!match) continue;
        const labels = Object.fromEntries([...(match[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
        if (!found.has(match[1])) found.set(match[1], []);
        found.get(match[1]).push({ labels, value: number(match[3]) });
    }
    return found;
}

/* The value that belongs to a model, or to none; 0 where there is none. */
export function value(metrics, name, model) {
    const all = metrics.get(name) ?? [];

    return (all.find(({ labels }) => labels.model_name === model) ?? all.find(({ labels }) => !labels.model_name))?.value ?? 0;
}

/* [[upper bound, count up to it], ...], bounds rising. */
export function histogram(metrics, name, model) {
    return (metrics.get(`${name}_bucket`) ?? [])
        .filter(({ labels }) => labels.model_name === model)
        .map(({ labels, value: count }) => [number(labels.le), count])
        .sort((a, b) => a[0] - b[0]);
}

/* Of what came between two readings of a histogram, the value below which `share` of it lies, as
 * Prometheus' histogram_quantile() has it: straight between the bounds of a bucket.  null: nothing came. */
export function percentile(before, now, share) {
    const counts = now.map(([bound, count], i) => [bound, count - (before[i]?.[1] ?? 0)]);
    const total = counts.at(-1)?.[1] ?? 0;
    const wanted = share * total;
    let low = 0;
    let below = 0;

    if (!total) return null;
    for (const [bound, count] of counts) {
        if (count >= wanted && count > below) return bound === Infinity ? low : low + ((bound - low) * (wanted - below)) / (count - below);
        low = bound === Infinity ? low : bound;
        below = count;
    }
    return low;
}
