/* routes.c - every endpoint, one line each. */
#include "fcgi/takeoff/routes.h"

#include "fcgi/takeoff/handlers.h"

const struct route takeoff_routes[] = {
    { "POST", "/generate", takeoff_generate, false },
    { "POST", "/generate_stream", takeoff_generate_stream, false },
    { "POST", "/image_generate", takeoff_images, false },
    { "POST", "/image_generate_stream", takeoff_images, false },
    { "POST", "/embed", takeoff_embed, false },
    { "POST", "/classify", takeoff_classify, false },
    { "POST", "/tokenize/{reader}", takeoff_tokenize, false },
    { "POST", "/detokenize/{reader}", takeoff_detokenize, false },
    { "POST", "/chat_template/{reader}", takeoff_chat_template, false },
    { "GET", "/healthz", takeoff_health, true },
    { "GET", "/status", takeoff_status, false },
    { 0 },
};

const struct route management_routes[] = {
    { "GET", "/reader_groups", management_groups, false },
    { "POST", "/reader", management_add, false },
    { "DELETE", "/reader/{id}", management_remove, false },
    { "GET", "/config/{id}", management_config, false },
    { "GET", "/status", management_status, false },
    { 0 },
};
