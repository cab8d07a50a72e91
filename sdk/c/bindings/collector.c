/* The export `collector`: batches of measurements, and the present figures. */
#include <stdlib.h>

/* All memory of a call is given back together (see call.c). */
#define free(memory) ((void)(memory))
#include "generated/collector.c"
#undef free
#define BORDER_TEXT collector_string_t
#define BORDER_WITH_FAILURES
#include "../src/border.h"

static const char *optional(collector_option_string_t text) {
    return text.is_some ? border_text(text.val) : NULL;
}

bool exports_apflow_plugin_collector_collect(
    exports_apflow_plugin_collector_list_measurement_t *given, exports_apflow_plugin_collector_failure_t *failure) {
    apflow_begin();
    apflow_measurement *batch = apflow_alloc(given->len * sizeof *batch);
    for (size_t at = 0; at < given->len; at++) {
        const exports_apflow_plugin_collector_measurement_t *one = &given->ptr[at];
        batch[at] = (apflow_measurement){
            .kind = border_text(one->kind),
            .sequence = strtoull(border_text(one->sequence), NULL, 10),
            .at = border_text(one->at),
            .tree_id = border_text(one->tree_id),
            .task_id = optional(one->task_id),
            .executor = optional(one->executor),
            .attempt = one->attempt,
            .duration_ms = one->duration_ms,
            .code = optional(one->code),
            .receipt = border_text(one->extra),
        };
    }
    if (!apflow_collect(batch, given->len)) return border_failure("apflow_collect", failure);
    apflow_end();
    return true;
}

bool exports_apflow_plugin_collector_render(
    collector_string_t *figures, exports_apflow_plugin_collector_failure_t *failure) {
    apflow_begin();
    const char *text = apflow_render();
    if (text == NULL) return border_failure("apflow_render", failure);
    *figures = border_from(text);
    apflow_end();
    return true;
}
