/* The export `executor`: descriptions, one attempt, and reading inputs. */
#include <stdlib.h>

/* All memory of a call is given back together (see call.c). */
#define free(memory) ((void)(memory))
#include "generated/executor.c"
#undef free
#define BORDER_TEXT executor_string_t
#define BORDER_WITH_FAILURES
#include "../src/border.h"

static executor_list_string_t texts(const char *const *list) {
    executor_list_string_t out = {NULL, 0};
    while (list != NULL && list[out.len] != NULL) out.len++;
    out.ptr = apflow_alloc(out.len * sizeof *out.ptr);
    for (size_t at = 0; at < out.len; at++) out.ptr[at] = border_from(list[at]);
    return out;
}

static exports_apflow_plugin_executor_executor_info_t info(const apflow_executor *executor) {
    executor_list_string_t examples = texts(executor->examples);
    return (exports_apflow_plugin_executor_executor_info_t){
        .id = border_from(executor->id),
        .name = border_from(executor->name == NULL ? executor->id : executor->name),
        .description = border_from(executor->description),
        .tags = texts(executor->tags),
        .examples = {examples.ptr, examples.len},
        .input_schema = border_from(executor->input_schema == NULL ? "{\"type\":\"object\"}" : executor->input_schema),
        .output_schema = border_from(executor->output_schema == NULL ? "{}" : executor->output_schema),
        .cancelable = executor->cancelable,
        .idempotent = executor->idempotent,
        .demo_result = {executor->demo_result != NULL, border_from(executor->demo_result)},
        .extra = border_from("{}"),
    };
}

bool exports_apflow_plugin_executor_describe(
    exports_apflow_plugin_executor_list_executor_info_t *all, exports_apflow_plugin_executor_failure_t *failure) {
    (void)failure;
    apflow_begin();
    size_t count = 0;
    while (apflow_executors[count] != NULL) count++;
    all->ptr = apflow_alloc(count * sizeof *all->ptr);
    all->len = count;
    for (size_t at = 0; at < count; at++) all->ptr[at] = info(apflow_executors[at]);
    apflow_end();
    return true;
}

static bool run(apflow_call *call) {
    for (size_t at = 0; apflow_executors[at] != NULL; at++) {
        if (strcmp(apflow_executors[at]->id, call->executor) == 0) return apflow_executors[at]->execute(call);
    }
    return apflow_bad_input("unknown_executor", NULL,
        "this component holds no executor `%s`; load the plugin that describes it", call->executor);
}

bool exports_apflow_plugin_executor_execute(
    exports_apflow_plugin_executor_invocation_t *given, exports_apflow_plugin_executor_json_t *result,
    exports_apflow_plugin_executor_failure_t *failure) {
    apflow_begin();
    apflow_call call = {
        .executor = border_text(given->executor),
        .task_id = border_text(given->task_id),
        .tree_id = border_text(given->tree_id),
        .attempt = given->attempt,
        .idempotency_key = border_text(given->idempotency_key),
        .timeout_ms = given->timeout_ms.is_some ? given->timeout_ms.val : 0,
        .trace_parent = given->trace_parent.is_some ? border_text(given->trace_parent.val) : NULL,
        .inputs = apflow_json_object((apflow_bytes){given->inputs.ptr, given->inputs.len}),
        .params = apflow_json_object((apflow_bytes){given->params.ptr, given->params.len}),
        .out = apflow_json_new(),
    };
    if (!run(&call)) return border_failure(call.executor, failure);
    *result = border_from(call.result == NULL ? "null" : call.result);
    apflow_end();
    return true;
}

bool apflow_result(apflow_call *call, yyjson_mut_val *result) {
    call->result = apflow_json_write_mut(result);
    if (call->result != NULL) return true;
    return apflow_permanent("not_json", "the result of `%s` cannot be written as JSON: no value, text that is not "
        "UTF-8, or a number that is not finite", call->executor);
}
