/* panel.js - a panel at a side: beside the conversation where there is room, else over it. */
import { byId } from "../dom.js";

const wide = matchMedia("(min-width: 1100px)");

export function panel(id, openWhenWide) {
    const whole = byId(id);
    const button = byId(`show-${id}`);

    function set(open, focus = true) {
        whole.hidden = !open;
        button.setAttribute("aria-expanded", String(open));
        if (!focus) return;
        if (open && !wide.matches) whole.querySelector("button").focus();
        else if (!open) button.focus();
    }

    button.addEventListener("click", () => set(whole.hidden));
    whole.querySelector(".close").addEventListener("click", () => set(false));
    whole.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && !wide.matches) set(false);
    });
    wide.addEventListener("change", () => set(wide.matches && openWhenWide, false));
    set(wide.matches && openWhenWide, false);
    return {
        open: () => set(true, false),
        closeIfOver: () => !wide.matches && set(false, false),
    };
}
