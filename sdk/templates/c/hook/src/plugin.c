/* A hook that fills in a region and keeps frozen tasks from running. */
#include "apflow_plugin.h"

const apflow_subscription apflow_subscriptions[] = {{.point = "task.before-run"}, {0}};

bool apflow_on_event(apflow_event *event) {
    yyjson_val *metadata = yyjson_obj_get(event->subject, "metadata");
    if (yyjson_is_true(yyjson_obj_get(metadata, "frozen"))) {
        const char *name = yyjson_get_str(yyjson_obj_get(event->subject, "name"));
        return apflow_veto(event, "frozen", "%s is frozen; thaw it first", name == NULL ? "this task" : name);
    }
    if (yyjson_obj_get(event->inputs, "region") != NULL) return apflow_proceed(event);

    yyjson_mut_val *inputs = yyjson_val_mut_copy(event->out, event->inputs);
    yyjson_mut_obj_add_str(event->out, inputs, "region", "eu");
    return apflow_replace_inputs(event, inputs);
}
