/* An executor that greets people by name. */
#include "apflow_plugin.h"

static bool greet(apflow_call *call) {
    const char *greeting = "Hello";
    if (!apflow_get_text(call->inputs, "greeting", &greeting)) return false;

    yyjson_val *names = yyjson_obj_get(call->inputs, "names"), *name;
    yyjson_mut_val *greetings = yyjson_mut_arr(call->out);
    size_t at, count;
    yyjson_arr_foreach(names, at, count, name) {
        const char *whom = yyjson_get_str(name);
        if (whom == NULL || whom[0] == '\0') {
            const char *pointer = apflow_format("/names/%zu", at);
            return apflow_bad_input("empty_name", pointer, "names/%zu is empty; say whom to greet", at);
        }
        yyjson_mut_arr_add_str(call->out, greetings, apflow_format("%s, %s!", greeting, whom));
        apflow_progress((double)(at + 1) / (double)count, "greeted %s", whom);
    }
    apflow_log("info", "greeted %zu people for %s", yyjson_arr_size(names), call->task_id);

    yyjson_mut_val *result = yyjson_mut_obj(call->out);
    yyjson_mut_obj_add_val(call->out, result, "greetings", greetings);
    return apflow_result(call, result);
}

static const apflow_executor greeter = {
    .id = "{{ident}}",
    .description = "Greets people by name.",
    .examples = (const char *const[]){"{\"names\": [\"Ada\"]}", NULL},
    /* The host checks every call against this schema. */
    .input_schema =
        "{\"type\": \"object\", \"required\": [\"names\"], \"properties\": {"
        "\"names\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"description\": \"Whom to greet.\"},"
        "\"greeting\": {\"type\": \"string\", \"default\": \"Hello\", \"description\": \"How to greet.\"}}}",
    .output_schema =
        "{\"type\": \"object\", \"required\": [\"greetings\"], \"properties\": {"
        "\"greetings\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}}}",
    .idempotent = true,
    .execute = greet,
};

const apflow_executor *const apflow_executors[] = {&greeter, NULL};
