/* What the host keeps for plugins: the machine's figures, secrets, state, child tasks, checkpoints. */
#include "pairs.h"

/* A missing grant or a figure that does not exist here does not pass by itself. */
static bool refused(const apflow_plugin_types_issue_t *issue) {
    return apflow_fail((apflow_failure){
        .kind = APFLOW_PERMANENT,
        .code = border_text(issue->code),
        .message = border_text(issue->message),
        .pointer = issue->pointer.is_some ? border_text(issue->pointer.val) : NULL,
        .extra = border_text(issue->extra),
    });
}

static bool failed(const apflow_plugin_types_failure_t *failure) {
    switch (failure->tag) {
    case APFLOW_PLUGIN_TYPES_FAILURE_CANCELLED: return apflow_cancelled();
    case APFLOW_PLUGIN_TYPES_FAILURE_OTHER: return apflow_refused_other("tasks_error", border_text(failure->val.other));
    case APFLOW_PLUGIN_TYPES_FAILURE_RETRYABLE: {
        refused(&failure->val.retryable.issue);
        apflow_failure told = *apflow_last_failure();
        told.kind = APFLOW_RETRYABLE;
        told.after_ms = failure->val.retryable.after_ms.is_some ? failure->val.retryable.after_ms.val : 0;
        return apflow_fail(told);
    }
    default: return refused(&failure->val.permanent); /* What is bad about a child is no bad input of this task. */
    }
}

static yyjson_val *value_of(capabilities_string_t json) {
    return apflow_json_read((apflow_bytes){json.ptr, json.len});
}

/* ---- The machine ---- */

bool apflow_read_cpu(apflow_cpu *cpu) {
    apflow_plugin_system_cpu_figures_t got;
    apflow_plugin_types_issue_t issue;
    if (!apflow_plugin_system_read_cpu(&got, &issue)) return refused(&issue);
    *cpu = (apflow_cpu){
        .os = border_text(got.os),
        .arch = border_text(got.arch),
        .brand = border_text(got.brand),
        .cores = got.cores,
        .threads = got.threads,
        .load = {got.load.f0, got.load.f1, got.load.f2},
    };
    return true;
}

bool apflow_read_memory(apflow_memory *memory) {
    apflow_plugin_system_memory_figures_t got;
    apflow_plugin_types_issue_t issue;
    if (!apflow_plugin_system_read_memory(&got, &issue)) return refused(&issue);
    *memory = (apflow_memory){(uint64_t)got.total, (uint64_t)got.available};
    return true;
}

bool apflow_read_disks(const apflow_disk **disks, size_t *count) {
    apflow_plugin_system_list_disk_figures_t got;
    apflow_plugin_types_issue_t issue;
    if (!apflow_plugin_system_read_disks(&got, &issue)) return refused(&issue);
    apflow_disk *all = apflow_alloc(got.len * sizeof *all);
    for (size_t at = 0; at < got.len; at++) {
        all[at] = (apflow_disk){
            .mount = border_text(got.ptr[at].mount),
            .file_system = border_text(got.ptr[at].file_system),
            .total = (uint64_t)got.ptr[at].total,
            .available = (uint64_t)got.ptr[at].available,
        };
    }
    *disks = all;
    *count = got.len;
    return true;
}

/* ---- Secrets ---- */

bool apflow_secret(const char *name, const char **placeholder) {
    capabilities_string_t asked = border_from(name), got;
    apflow_plugin_types_issue_t issue;
    if (!apflow_plugin_secrets_placeholder(&asked, &got, &issue)) return refused(&issue);
    *placeholder = border_text(got);
    return true;
}

/* ---- State ---- */

bool apflow_state_get(const char *key, apflow_entry *entry) {
    capabilities_string_t asked = border_from(key);
    apflow_plugin_state_option_entry_t got;
    apflow_plugin_types_issue_t issue;
    if (!apflow_plugin_state_get(&asked, &got, &issue)) return refused(&issue);
    *entry = got.is_some ? (apflow_entry){value_of(got.val.value), border_text(got.val.version)} : (apflow_entry){0};
    return true;
}

bool apflow_state_put(const char *key, const char *value) {
    capabilities_string_t asked = border_from(key), written = border_from(value);
    apflow_plugin_types_issue_t issue;
    return apflow_plugin_state_put(&asked, value == NULL ? NULL : &written, &issue) || refused(&issue);
}

bool apflow_state_compare_and_set(const char *key, const char *expected, const char *value, bool *done) {
    capabilities_string_t asked = border_from(key), version = border_from(expected), written = border_from(value);
    apflow_plugin_types_issue_t issue;
    return apflow_plugin_state_compare_and_set(
               &asked, expected == NULL ? NULL : &version, value == NULL ? NULL : &written, done, &issue)
        || refused(&issue);
}

/* ---- Child tasks ---- */

bool apflow_tasks_submit(const char *tree, const char *idempotency_key, const char **root_id) {
    capabilities_string_t submitted = border_from(tree), key = border_from(idempotency_key), got;
    apflow_plugin_types_failure_t failure;
    if (!apflow_plugin_tasks_submit(&submitted, &key, &got, &failure)) return failed(&failure);
    *root_id = border_text(got);
    return true;
}

bool apflow_tasks_await(const char *root_id, yyjson_val **result) {
    capabilities_string_t asked = border_from(root_id), got;
    apflow_plugin_types_failure_t failure;
    if (!apflow_plugin_tasks_await_result(&asked, &got, &failure)) return failed(&failure);
    *result = value_of(got);
    return true;
}

/* ---- Checkpoints ---- */

bool apflow_checkpoint_load(yyjson_val **data) {
    apflow_plugin_checkpoint_option_json_t got;
    apflow_plugin_types_issue_t issue;
    if (!apflow_plugin_checkpoint_load(&got, &issue)) return refused(&issue);
    *data = got.is_some ? value_of(got.val) : NULL;
    return true;
}

bool apflow_checkpoint_save(const char *data) {
    capabilities_string_t saved = border_from(data);
    apflow_plugin_types_issue_t issue;
    return apflow_plugin_checkpoint_save(&saved, &issue) || refused(&issue);
}
