/* Byte streams to named peers. */
#include "pairs.h"

DROPS("net", "connection", drop_connection);

static bool refused(const apflow_plugin_net_net_error_t *error) {
    bool silent = error->tag == APFLOW_PLUGIN_NET_NET_ERROR_CLOSED;
    const char *text = silent ? "the stream is closed" : border_text(error->val.denied);
    switch (error->tag) {
    case APFLOW_PLUGIN_NET_NET_ERROR_DENIED: return apflow_refused(APFLOW_PERMANENT, "net_denied", text);
    case APFLOW_PLUGIN_NET_NET_ERROR_PROHIBITED_ADDRESS:
        return apflow_refused(APFLOW_PERMANENT, "net_prohibited_address", text);
    case APFLOW_PLUGIN_NET_NET_ERROR_TIMEOUT: return apflow_refused(APFLOW_RETRYABLE, "net_timeout", text);
    case APFLOW_PLUGIN_NET_NET_ERROR_CONNECT: return apflow_refused(APFLOW_RETRYABLE, "net_connect", text);
    case APFLOW_PLUGIN_NET_NET_ERROR_CLOSED: return apflow_refused(APFLOW_RETRYABLE, "net_closed", text);
    default: return apflow_refused_other("net_error", text);
    }
}

static apflow_plugin_net_borrow_connection_t borrow(apflow_connection connection) {
    return (apflow_plugin_net_borrow_connection_t){connection.handle};
}

bool apflow_connect(const char *host, uint16_t port, bool tls, uint32_t timeout_ms, apflow_connection *connection) {
    apflow_plugin_net_peer_t peer = {
        .host = border_from(host),
        .port = port,
        .tls = tls,
        .timeout_ms = when_set(timeout_ms),
        .extra = border_from("{}"),
    };
    apflow_plugin_net_own_connection_t got;
    apflow_plugin_net_net_error_t error;
    if (!apflow_plugin_net_connect(&peer, &got, &error)) return refused(&error);
    connection->handle = got.__handle;
    return true;
}

bool apflow_connection_read(apflow_connection connection, uint32_t max, uint32_t timeout_ms, apflow_bytes *piece) {
    capabilities_option_list_u8_t got;
    apflow_plugin_net_net_error_t error;
    uint32_t *limit = timeout_ms == 0 ? NULL : &timeout_ms;
    if (!apflow_plugin_net_method_connection_read(borrow(connection), max, limit, &got, &error)) return refused(&error);
    *piece = piece_to(got);
    return true;
}

bool apflow_connection_write(apflow_connection connection, apflow_bytes data) {
    capabilities_list_u8_t sent = bytes_from(data);
    apflow_plugin_net_net_error_t error;
    return apflow_plugin_net_method_connection_write(borrow(connection), &sent, &error) || refused(&error);
}

bool apflow_connection_finish(apflow_connection connection) {
    apflow_plugin_net_net_error_t error;
    return apflow_plugin_net_method_connection_finish(borrow(connection), &error) || refused(&error);
}

void apflow_connection_close(apflow_connection connection) {
    drop_connection(connection.handle);
}
