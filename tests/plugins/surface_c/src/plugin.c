/* One executor that uses every part of the SDK; `tests/suite/languages.rs` compares its answers with the other languages'. */
#include <string.h>

#include "apflow_plugin.h"

#define INPUT(name) yyjson_get_str(yyjson_obj_get(call->inputs, name))
#define TRY(step)                                                                                                      \
    if (!(step)) return false

/* A result as text that is JSON already; `%s` of texts is quoted by `quoted`. */
static bool answer(apflow_call *call, const char *json) {
    call->result = json;
    return true;
}

static const char *quoted(apflow_bytes bytes) {
    yyjson_mut_doc *document = apflow_json_new();
    return apflow_json_write_mut(yyjson_mut_strn(document, (const char *)bytes.data, bytes.size));
}

static const char *word(bool truth) {
    return truth ? "true" : "false";
}

/* Grows a text by a piece. */
static void append(apflow_bytes *text, apflow_bytes piece) {
    uint8_t *longer = apflow_alloc(text->size + piece.size + 1);
    memcpy(longer, text->data, text->size);
    memcpy(longer + text->size, piece.data, piece.size);
    *text = (apflow_bytes){longer, text->size + piece.size};
}

static bool context(apflow_call *call) {
    apflow_progress_with(0.5, "half way", "{\"so\": \"far\"}");
    apflow_log("info", "surface speaks of %s", call->task_id);
    bool named = call->task_id[0] != 0 && call->tree_id[0] != 0 && call->idempotency_key[0] != 0;
    return answer(call, apflow_format("{\"executor\": \"%s\", \"attempt\": %u, \"params\": %s, \"named\": %s}", call->executor,
        (unsigned)call->attempt, apflow_json_write(call->params), word(named)));
}

static bool post(apflow_call *call) {
    apflow_http_request request = {
        .method = "POST",
        .url = INPUT("url"),
        .headers = (const apflow_pair[]){{"x-color", "blue"}, {"content-type", "application/json"}},
        .header_count = 2,
        .body = apflow_bytes_of("{\"n\": 1}"),
        .timeout_ms = 5000,
    };
    apflow_http_response got;
    yyjson_val *body;
    TRY(apflow_http_send(&request, &got));
    TRY(apflow_http_json(&got, &body));
    return answer(call, apflow_format("{\"status\": %u, \"ok\": %s, \"kind\": \"%s\", \"body\": %s}", (unsigned)got.status,
        word(got.status / 100 == 2), apflow_http_header(&got, "content-type"), apflow_json_write(body)));
}

static bool stream(apflow_call *call) {
    apflow_http_request request = {.url = INPUT("url")};
    apflow_http_response head;
    apflow_http_body body;
    apflow_bytes text = apflow_bytes_of(""), piece;
    TRY(apflow_http_send_streamed(&request, &head, &body));
    for (;;) {
        TRY(apflow_http_read(body, 7, &piece));
        if (piece.data == NULL) break;
        append(&text, piece);
    }
    const apflow_pair *trailers;
    size_t count;
    TRY(apflow_http_trailers(body, &trailers, &count));
    apflow_http_close(body);
    return answer(call, apflow_format("{\"status\": %u, \"body\": %s, \"trailers\": %zu}", (unsigned)head.status, quoted(text), count));
}

static bool programs(apflow_call *call) {
    apflow_finished whole, ended, failed;
    apflow_child child;
    apflow_bytes said = apflow_bytes_of(""), piece;
    uint32_t taken;
    TRY(apflow_run(&(apflow_command){.program = "cat", .input = apflow_bytes_of("äb")}, &whole));
    TRY(apflow_start(&(apflow_command){.program = "cat"}, &child));
    TRY(apflow_child_write(child, apflow_bytes_of("talk"), &taken));
    TRY(apflow_child_close_input(child));
    for (;;) {
        TRY(apflow_child_read_output(child, 65536, &piece));
        if (piece.data == NULL) break;
        append(&said, piece);
    }
    TRY(apflow_child_wait(child, &ended));
    apflow_child_drop(child);
    TRY(apflow_run(&(apflow_command){.program = "false"}, &failed));
    return answer(call, apflow_format(
        "{\"output\": %s, \"taken\": %u, \"said\": %s, \"code\": %d, \"failed\": %d, \"ok\": [%s, %s]}", quoted(whole.output),
        (unsigned)taken, quoted(said), (int)ended.code, (int)failed.code, word(whole.code == 0), word(failed.code == 0)));
}

static bool talk(apflow_call *call) {
    uint16_t port = (uint16_t)yyjson_get_int(yyjson_obj_get(call->inputs, "port"));
    apflow_connection connection;
    apflow_bytes said = apflow_bytes_of(""), piece;
    TRY(apflow_connect(INPUT("host"), port, false, 5000, &connection));
    TRY(apflow_connection_write(connection, apflow_bytes_of("ping")));
    TRY(apflow_connection_finish(connection));
    for (;;) {
        TRY(apflow_connection_read(connection, 100, 5000, &piece));
        if (piece.data == NULL) break;
        append(&said, piece);
    }
    apflow_connection_close(connection);
    return answer(call, apflow_format("{\"said\": %s}", quoted(said)));
}

static bool machine(apflow_call *call) {
    apflow_cpu cpu;
    apflow_memory memory;
    const apflow_disk *disks;
    size_t count;
    TRY(apflow_read_cpu(&cpu));
    TRY(apflow_read_memory(&memory));
    TRY(apflow_read_disks(&disks, &count));
    return answer(call, apflow_format("{\"threads\": %s, \"memory\": %s, \"disks\": true}", word(cpu.threads > 0),
        word(memory.total > memory.available && memory.available > 0)));
}

static bool secret(apflow_call *call) {
    const char *token;
    TRY(apflow_secret("token", &token));
    apflow_pair authorization = {"authorization", apflow_format("Bearer %s", token)};
    apflow_http_request request = {.url = INPUT("url"), .headers = &authorization, .header_count = 1};
    apflow_http_response got;
    yyjson_val *body;
    TRY(apflow_http_send(&request, &got));
    TRY(apflow_http_json(&got, &body));
    bool hidden = strstr(token, "sesame") == NULL;
    return answer(call, apflow_format("{\"hidden\": %s, \"answer\": %s}", word(hidden), apflow_json_write(body)));
}

static bool keep(apflow_call *call) {
    apflow_entry first, changed, gone;
    bool wrong, right, created;
    TRY(apflow_state_put("k", "{\"n\": 1}"));
    TRY(apflow_state_get("k", &first));
    TRY(apflow_state_compare_and_set("k", "no version", "{\"n\": 2}", &wrong));
    TRY(apflow_state_compare_and_set("k", first.version, "{\"n\": 3}", &right));
    TRY(apflow_state_get("k", &changed));
    TRY(apflow_state_put("k", NULL));
    TRY(apflow_state_get("k", &gone));
    TRY(apflow_state_compare_and_set("k", NULL, "1", &created));
    return answer(call, apflow_format(
        "{\"first\": %s, \"wrong\": %s, \"right\": %s, \"value\": %s, \"gone\": %s, \"created\": %s}",
        apflow_json_write(first.value), word(wrong), word(right), apflow_json_write(changed.value), word(gone.value == NULL),
        word(created)));
}

static bool children(apflow_call *call) {
    const char *tree = "[{\"name\": \"child\", \"executor\": \"echo\", \"inputs\": {\"n\": 7}}]";
    const char *root, *again;
    yyjson_val *end;
    TRY(apflow_tasks_submit(tree, call->idempotency_key, &root));
    TRY(apflow_tasks_await(root, &end));
    TRY(apflow_tasks_submit(tree, call->idempotency_key, &again));
    return answer(call, apflow_format("{\"status\": %s, \"result\": %s, \"again\": %s}",
        apflow_json_write(yyjson_obj_get(end, "status")), apflow_json_write(yyjson_obj_get(end, "result")),
        word(strcmp(root, again) == 0)));
}

static bool go_on(apflow_call *call) {
    yyjson_val *seen;
    TRY(apflow_checkpoint_load(&seen));
    if (call->attempt == 1) {
        TRY(apflow_checkpoint_save("{\"page\": 3}"));
        return apflow_retryable("again", 1, "the second half comes later");
    }
    return answer(call, apflow_format("{\"attempt\": %u, \"seen\": %s}", (unsigned)call->attempt, apflow_json_write(seen)));
}

static bool bad_input(apflow_call *call) {
    (void)call;
    apflow_bad_input("negative", "/amount", "amount is %d; give 0 or more", -1);
    apflow_failure told = *apflow_last_failure();
    told.extra = "{\"limit\": 0}";
    return apflow_fail(told);
}

static bool permanent(apflow_call *call) {
    (void)call;
    return apflow_permanent("over_limit", "no more than 1000");
}

static bool cancelled(apflow_call *call) {
    (void)call;
    return apflow_cancelled();
}

/* The mistake that C can make and live: a failure that was not told. */
static bool mistake(apflow_call *call) {
    (void)call;
    return false;
}

static bool denied(apflow_call *call) {
    apflow_http_response got;
    TRY(apflow_http_send(&(apflow_http_request){.url = INPUT("url")}, &got));
    return answer(call, apflow_format("%u", (unsigned)got.status));
}

static const struct {
    const char *name;
    bool (*act)(apflow_call *call);
} actions[] = {
    {"context", context}, {"http", post}, {"stream", stream}, {"process", programs}, {"net", talk}, {"system", machine},
    {"secret", secret}, {"state", keep}, {"tasks", children}, {"checkpoint", go_on}, {"bad_input", bad_input},
    {"permanent", permanent}, {"cancelled", cancelled}, {"mistake", mistake}, {"denied", denied},
};

static bool surface(apflow_call *call) {
    const char *wanted = NULL;
    TRY(apflow_get_text(call->inputs, "do", &wanted));
    for (size_t at = 0; at < sizeof actions / sizeof *actions; at++) {
        if (strcmp(actions[at].name, wanted) == 0) return actions[at].act(call);
    }
    return apflow_bad_input("invalid_input", "/do", "there is no action `%s`", wanted);
}

static const apflow_executor surface_c = {
    .id = "surface_c",
    .input_schema = "{\"type\": \"object\", \"properties\": {\"do\": {\"type\": \"string\"}}, \"required\": [\"do\"]}",
    .execute = surface,
};

const apflow_executor *const apflow_executors[] = {&surface_c, NULL};
