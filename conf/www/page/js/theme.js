/* theme.js - light, dark, or what the system has. */
import { byId } from "./dom.js";

const THEMES = [
    ["auto", "◐", "Colours: as the system"],
    ["light", "☀", "Colours: light"],
    ["dark", "☾", "Colours: dark"],
];
const PLACE = "airstrip-theme";

function read() {
    try {
        return localStorage.getItem(PLACE) || "auto";
    } catch {
        return "auto"; /* storage is switched off */
    }
}

export function theme(onchange = () => {}) {
    const button = byId("theme");
    let at = Math.max(0, THEMES.findIndex(([name]) => name === read()));

    const show = () => {
        const [name, sign, words] = THEMES[at];

        document.documentElement.dataset.theme = name;
        button.textContent = sign;
        button.title = words;
        button.setAttribute("aria-label", words);
        onchange();
    };
    button.addEventListener("click", () => {
        at = (at + 1) % THEMES.length;
        try {
            localStorage.setItem(PLACE, THEMES[at][0]);
        } catch {
            /* then it lasts as long as the page */
        }
        show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onchange);
    show();
}
