/* Outgoing HTTP. */
#include "pairs.h"

DROPS("http", "incoming-body", drop_incoming_body);

static bool refused(const apflow_plugin_http_http_error_t *error) {
    const char *text = border_text(error->val.denied); /* Every case holds one text, in the same place. */
    switch (error->tag) {
    case APFLOW_PLUGIN_HTTP_HTTP_ERROR_DENIED: return apflow_refused(APFLOW_PERMANENT, "http_denied", text);
    case APFLOW_PLUGIN_HTTP_HTTP_ERROR_PROHIBITED_ADDRESS:
        return apflow_refused(APFLOW_PERMANENT, "http_prohibited_address", text);
    case APFLOW_PLUGIN_HTTP_HTTP_ERROR_TIMEOUT: return apflow_refused(APFLOW_RETRYABLE, "http_timeout", text);
    case APFLOW_PLUGIN_HTTP_HTTP_ERROR_CONNECT: return apflow_refused(APFLOW_RETRYABLE, "http_connect", text);
    case APFLOW_PLUGIN_HTTP_HTTP_ERROR_TOO_LARGE: return apflow_refused(APFLOW_PERMANENT, "http_too_large", text);
    case APFLOW_PLUGIN_HTTP_HTTP_ERROR_BAD_REQUEST: return apflow_refused(APFLOW_PERMANENT, "http_bad_request", text);
    default: return apflow_refused_other("http_error", text);
    }
}

static apflow_plugin_http_request_t given(const apflow_http_request *request) {
    return (apflow_plugin_http_request_t){
        .method = border_from(request->method == NULL ? "GET" : request->method),
        .url = border_from(request->url),
        .headers = pairs_from(request->headers, request->header_count),
        .body = bytes_from(request->body),
        .timeout_ms = when_set(request->timeout_ms),
        .max_redirects = request->max_redirects < 0 ? 0 : request->max_redirects == 0 ? 10 : (uint32_t)request->max_redirects,
        .extra = border_from("{}"),
    };
}

static apflow_http_response response_of(apflow_plugin_http_response_head_t head, apflow_bytes body) {
    return (apflow_http_response){
        .status = head.status,
        .url = border_text(head.url),
        .headers = pairs_to(head.headers),
        .header_count = head.headers.len,
        .body = body,
    };
}

bool apflow_http_send(const apflow_http_request *request, apflow_http_response *response) {
    apflow_plugin_http_request_t sent = given(request);
    apflow_plugin_http_response_t got;
    apflow_plugin_http_http_error_t error;
    if (!apflow_plugin_http_send(&sent, &got, &error)) return refused(&error);
    *response = response_of(got.head, bytes_to(got.body));
    return true;
}

const char *apflow_http_header(const apflow_http_response *response, const char *name) {
    for (size_t at = 0; at < response->header_count; at++) {
        if (strcmp(response->headers[at].name, name) == 0) return response->headers[at].value;
    }
    return NULL;
}

bool apflow_http_json(const apflow_http_response *response, yyjson_val **value) {
    *value = apflow_json_read(response->body);
    if (*value != NULL) return true;
    return apflow_permanent(
        "invalid_response", "%s answered %u with a body that is no JSON", response->url, (unsigned)response->status);
}

bool apflow_http_send_streamed(const apflow_http_request *request, apflow_http_response *head, apflow_http_body *body) {
    apflow_plugin_http_request_t sent = given(request);
    apflow_plugin_http_streamed_response_t got;
    apflow_plugin_http_http_error_t error;
    if (!apflow_plugin_http_send_streamed(&sent, &got, &error)) return refused(&error);
    *head = response_of(got.head, (apflow_bytes){NULL, 0});
    body->handle = got.body.__handle;
    return true;
}

bool apflow_http_read(apflow_http_body body, uint32_t max, apflow_bytes *piece) {
    capabilities_option_list_u8_t got;
    apflow_plugin_http_http_error_t error;
    apflow_plugin_http_borrow_incoming_body_t handle = {body.handle};
    if (!apflow_plugin_http_method_incoming_body_read(handle, max, &got, &error)) return refused(&error);
    *piece = piece_to(got);
    return true;
}

bool apflow_http_trailers(apflow_http_body body, const apflow_pair **trailers, size_t *count) {
    capabilities_list_tuple2_string_string_t got;
    apflow_plugin_http_http_error_t error;
    apflow_plugin_http_borrow_incoming_body_t handle = {body.handle};
    if (!apflow_plugin_http_method_incoming_body_trailers(handle, &got, &error)) return refused(&error);
    *trailers = pairs_to(got);
    *count = got.len;
    return true;
}

void apflow_http_close(apflow_http_body body) {
    drop_incoming_body(body.handle);
}
