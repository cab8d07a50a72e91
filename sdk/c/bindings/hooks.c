/* The export `hooks`: what to hear of, and deciding about one event. */
#include <stdlib.h>

/* All memory of a call is given back together (see call.c). */
#define free(memory) ((void)(memory))
#include "generated/hooks.c"
#undef free
#define BORDER_TEXT hooks_string_t
#define BORDER_WITH_FAILURES
#include "../src/border.h"

struct apflow_decision {
    exports_apflow_plugin_hooks_decision_t taken;
};

bool exports_apflow_plugin_hooks_subscriptions(
    exports_apflow_plugin_hooks_list_subscription_t *all, exports_apflow_plugin_hooks_failure_t *failure) {
    (void)failure;
    apflow_begin();
    size_t count = 0;
    while (apflow_subscriptions[count].point != NULL) count++;
    all->ptr = apflow_alloc(count * sizeof *all->ptr);
    all->len = count;
    for (size_t at = 0; at < count; at++) {
        const char *const *executors = apflow_subscriptions[at].executors;
        hooks_list_string_t only = {NULL, 0};
        while (executors != NULL && executors[only.len] != NULL) only.len++;
        only.ptr = apflow_alloc(only.len * sizeof *only.ptr);
        for (size_t each = 0; each < only.len; each++) only.ptr[each] = border_from(executors[each]);
        all->ptr[at] = (exports_apflow_plugin_hooks_subscription_t){
            .point = border_from(apflow_subscriptions[at].point), .executors = only, .extra = border_from("{}")};
    }
    apflow_end();
    return true;
}

static yyjson_val *document(exports_apflow_plugin_hooks_option_json_t given) {
    return given.is_some ? apflow_json_read((apflow_bytes){given.val.ptr, given.val.len}) : NULL;
}

bool exports_apflow_plugin_hooks_on_event(
    exports_apflow_plugin_hooks_hook_event_t *given, exports_apflow_plugin_hooks_decision_t *decision,
    exports_apflow_plugin_hooks_failure_t *failure) {
    apflow_begin();
    struct apflow_decision decided = {.taken = {.tag = EXPORTS_APFLOW_PLUGIN_HOOKS_DECISION_PROCEED}};
    apflow_event event = {
        .point = border_text(given->point),
        .at = border_text(given->at),
        .tree_id = border_text(given->tree_id),
        .task_id = given->task_id.is_some ? border_text(given->task_id.val) : NULL,
        .executor = given->executor.is_some ? border_text(given->executor.val) : NULL,
        .attempt = given->attempt,
        .inputs = document(given->inputs),
        .outcome = document(given->outcome),
        .subject = apflow_json_object((apflow_bytes){given->subject.ptr, given->subject.len}),
        .out = apflow_json_new(),
        .decision = &decided,
    };
    if (!apflow_on_event(&event)) return border_failure("apflow_on_event", failure);
    *decision = decided.taken;
    apflow_end();
    return true;
}

bool apflow_proceed(apflow_event *event) {
    event->decision->taken.tag = EXPORTS_APFLOW_PLUGIN_HOOKS_DECISION_PROCEED;
    return true;
}

static bool with_document(apflow_event *event, uint8_t tag, hooks_string_t *place, yyjson_mut_val *value) {
    const char *text = apflow_json_write_mut(value);
    if (text == NULL) return apflow_permanent("not_json", "the decision's value cannot be written as JSON");
    event->decision->taken.tag = tag;
    *place = border_from(text);
    return true;
}

bool apflow_replace_inputs(apflow_event *event, yyjson_mut_val *inputs) {
    return with_document(event, EXPORTS_APFLOW_PLUGIN_HOOKS_DECISION_REPLACE_INPUTS,
        &event->decision->taken.val.replace_inputs, inputs);
}

bool apflow_supply_result(apflow_event *event, yyjson_mut_val *result) {
    return with_document(event, EXPORTS_APFLOW_PLUGIN_HOOKS_DECISION_SUPPLY_RESULT,
        &event->decision->taken.val.supply_result, result);
}

bool apflow_delay(apflow_event *event, uint32_t delay_ms) {
    event->decision->taken.tag = EXPORTS_APFLOW_PLUGIN_HOOKS_DECISION_DELAY_MS;
    event->decision->taken.val.delay_ms = delay_ms;
    return true;
}

bool apflow_veto(apflow_event *event, const char *code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    apflow_failure reason = {.code = code, .message = apflow_format_list(format, list)};
    va_end(list);
    event->decision->taken.tag = EXPORTS_APFLOW_PLUGIN_HOOKS_DECISION_VETO;
    border_issue(&reason, &event->decision->taken.val.veto);
    return true;
}
