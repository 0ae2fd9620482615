/* routes.c - every endpoint, one line each. */
#include "fcgi/api/handlers.h"
#include "fcgi/router.h"

const struct route api_routes[] = {
    { "POST", "/v1/chat/completions", chat_handle, false },
    { "POST", "/v1/chat/completions/input_tokens", tokens_count, false },
    { "POST", "/v1/completions", completions_handle, false },
    { "POST", "/v1/responses", responses_handle, false },
    { "POST", "/v1/responses/input_tokens", responses_count, false },
    { "POST", "/v1/embeddings", embeddings_handle, false },
    { "POST", "/apply-template", tokens_apply_template, false },
    { "POST", "/tokenize", tokens_tokenize, false },
    { "POST", "/detokenize", tokens_detokenize, false },
    { "GET", "/v1/models", models_list, false },
    { "GET", "/v1/models/{id}", models_get, false },
    { "GET", "/v1/selftest", selftest_report, false },
    { "POST", "/v1/selftest", selftest_report, false },
    { "GET", "/v1/selftest/events", selftest_events, false },
    { "GET", "/v1/selftest/path/{any}", selftest_report, false },
    { "GET", "/props", props_get, false },
    { "GET", "/slots", props_slots, false },
    { "GET", "/metrics", metrics_get, false },
    { "GET", "/status", status_get, false },
    { "GET", "/openapi.json", openapi_get, false },
    { "GET", "/livez", health_live, true },
    { "GET", "/readyz", health_ready, true },
    { "GET", "/health", health_report, false },
    { 0 },
};
