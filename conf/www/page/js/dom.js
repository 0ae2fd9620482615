/* dom.js - elements in few words.  Text is always text: nothing here reads markup. */

/* el("button", { type: "button", onclick: f, hidden: true }, "Copy", icon)
 * Attributes that are false, null or undefined are left out; functions are listeners. */
export function el(name, attributes = {}, ...children) {
    const element = document.createElement(name);

    for (const [key, value] of Object.entries(attributes)) {
        if (value === false || value === null || value === undefined) continue;
        if (typeof value === "function") element.addEventListener(key.slice(2), value);
        else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

export function byId(id) {
    return document.getElementById(id);
}

/* A screen reader says it; nobody sees it. */
export function tell(text) {
    byId("told").textContent = text;
}
