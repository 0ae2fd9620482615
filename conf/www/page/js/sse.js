/* sse.js - server-sent events of a POST, which EventSource cannot make (HTML standard, section 9.2). */

/* Yields the data of each event, as text. */
export async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";

    for (;;) {
        const { done, value } = await reader.read();
        let end;

        if (done) return;
        rest += value;
        while ((end = rest.indexOf("\n\n")) >= 0) {
            const lines = rest.slice(0, end).split("\n");
            const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));

            rest = rest.slice(end + 2);
            if (data.length) yield data.join("\n");
        }
    }
}
