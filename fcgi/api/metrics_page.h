/* metrics_page.h - all numbers in Prometheus' text format 0.0.4.
 *
 * What means the same has the name that vLLM (vllm:) or llama-server (llamacpp:) gave it, so that
 * dashboards, alerts and autoscalers made for those read it; the rest is airstrip:. */
#ifndef AIRSTRIP_METRICS_PAGE_H
#define AIRSTRIP_METRICS_PAGE_H

#include "fcgi/app.h"
#include "kernels/base/buf.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the page. */
void metrics_page(struct buf *b, struct app *app);

#endif
