/* units.js - figures as people read them. */

export function bytes(n) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;

    for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
    return `${at && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

export function count(n) {
    return Math.round(n).toLocaleString("en");
}

/* 135 M, 7.2 B */
export function short(n) {
    const units = ["", " K", " M", " B", " T"];
    let at = 0;

    for (; n >= 1000 && at < units.length - 1; at++) n /= 1000;
    return (at && n < 10 ? n.toFixed(1) : Math.round(n)) + units[at];
}

export function duration(seconds) {
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const first = parts.findIndex(([size]) => seconds >= size);

    if (first < 0) return "0 s";
    return parts.slice(first, first + 2).map(([size, unit], i) => `${Math.floor((i ? seconds % parts[first][0] : seconds) / size)} ${unit}`).join(" ");
}

export function ms(n) {
    if (n === null) return "none yet";
    return n >= 1000 ? `${(n / 1000).toFixed(2)} s` : n >= 10 ? `${Math.round(n)} ms` : `${n.toFixed(1)} ms`;
}

export function percent(n) {
    return n === null ? "none yet" : `${n.toFixed(n >= 10 || n === 0 ? 0 : 1)} %`;
}

export function rate(n) {
    return n >= 100 ? count(n) : n.toFixed(1);
}
