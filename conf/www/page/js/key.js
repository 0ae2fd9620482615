/* key.js - the API key: for as long as the tab lives, or in the browser if it is to be kept. */
const PLACE = "airstrip-key";

function from(storage) {
    try {
        return storage().getItem(PLACE) || "";
    } catch {
        return "";
    }
}

function put(storage, key) {
    try {
        if (key) storage().setItem(PLACE, key);
        else storage().removeItem(PLACE);
    } catch {
        /* then it is asked for again */
    }
}

const tab = () => sessionStorage;
const browser = () => localStorage;
let now = from(tab) || from(browser);

export function key() {
    return now;
}

export function keyIsKept() {
    return from(browser) !== "";
}

export function setKey(text, keep) {
    now = text.trim();
    put(tab, now);
    put(browser, keep ? now : "");
}
