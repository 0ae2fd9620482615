/* main.js - the status page: /status and /metrics read once a second, while somebody can see it. */
import { ApiError, ask } from "../api.js";
import { byId, el } from "../dom.js";
import { keyIsKept, key, setKey } from "../key.js";
import { theme } from "../theme.js";
import { charts, lacking } from "./charts.js";
import { showFacts } from "./facts.js";
import { History } from "./history.js";
import { parse } from "./metrics.js";
import { showSlots } from "./slots.js";

const EVERY_MS = 1000;

const history = new History();
const lines = charts();
const select = byId("model");
let waker = () => {}; /* ends the pause between two readings */

function failed(error) {
    const needsKey = error.code === "invalid_api_key";
    const words = {
        invalid_api_key: key() ? "The server does not know this API key." : "The server asks for an API key.",
        unreachable: "The server cannot be reached. The figures are those of before.",
    };

    byId("notice").className = "notice bad";
    byId("notice").setAttribute("role", "alert");
    byId("notice").textContent = words[error.status === 0 ? "unreachable" : error.code] ?? error.message;
    byId("notice").hidden = false;
    byId("figures").hidden = needsKey;
    if (needsKey && byId("key-form").hidden) {
        byId("key-form").hidden = false;
        byId("key").focus();
    }
}

function listModels(models) {
    if (models.length === select.options.length && models.every((model, i) => model.model === select.options[i].value)) return;
    const chosen = select.value;

    select.replaceChildren(...models.map((model) => el("option", { value: model.model }, model.model)));
    if (models.some((model) => model.model === chosen)) select.value = chosen;
}

async function look() {
    const [status, text] = await Promise.all([
        ask("status?json&full").then((answer) => answer.json()),
        ask("metrics").then((answer) => answer.text()),
    ]);
    const metrics = parse(text);

    byId("notice").hidden = byId("key-form").hidden = true;
    byId("figures").hidden = false;
    listModels(status.models);
    const model = status.models.find((one) => one.model === select.value);
    if (!model) return;
    showFacts(status, model, metrics);
    showSlots(model, status.processes.filter((process) => process.model === model.model));
    lines.show(history.add(metrics, model.model, performance.now() / 1000));
    byId("when").textContent = `Read each second, last at ${new Date().toLocaleTimeString()}. ${lacking}`;
}

function pause() {
    return new Promise((resolve) => {
        const timer = setTimeout(resolve, EVERY_MS);

        waker = () => {
            clearTimeout(timer);
            resolve();
        };
    });
}

async function watch() {
    for (;;) {
        if (!document.hidden) {
            try {
                await look();
            } catch (error) {
                if (!(error instanceof ApiError)) throw error;
                failed(error);
            }
            document.documentElement.dataset.ready = "true";
        }
        await pause();
    }
}

byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(byId("key").value, keyIsKept());
    waker();
});
select.addEventListener("change", () => {
    history.clear();
    waker();
});
document.addEventListener("visibilitychange", () => waker());
theme(lines.recolour);
watch();
