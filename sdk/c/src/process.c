/* Programs of the host's machine. */
#include "pairs.h"

DROPS("process", "child", drop_child);

static bool refused(const apflow_plugin_process_process_error_t *error) {
    const char *text = border_text(error->val.denied); /* Every case holds one text, in the same place. */
    switch (error->tag) {
    case APFLOW_PLUGIN_PROCESS_PROCESS_ERROR_DENIED: return apflow_refused(APFLOW_PERMANENT, "process_denied", text);
    case APFLOW_PLUGIN_PROCESS_PROCESS_ERROR_START: return apflow_refused(APFLOW_PERMANENT, "process_start", text);
    case APFLOW_PLUGIN_PROCESS_PROCESS_ERROR_TIMEOUT: return apflow_refused(APFLOW_RETRYABLE, "process_timeout", text);
    default: return apflow_refused_other("process_error", text);
    }
}

static apflow_plugin_process_command_t given(const apflow_command *command) {
    capabilities_list_string_t args = {NULL, 0};
    while (command->args != NULL && command->args[args.len] != NULL) args.len++;
    args.ptr = apflow_alloc(args.len * sizeof *args.ptr);
    for (size_t at = 0; at < args.len; at++) args.ptr[at] = border_from(command->args[at]);
    return (apflow_plugin_process_command_t){
        .program = border_from(command->program),
        .args = args,
        .env = pairs_from(command->env, command->env_count),
        .cwd = {command->cwd != NULL, border_from(command->cwd)},
        .stdin_ = bytes_from(command->input),
        .timeout_ms = when_set(command->timeout_ms),
        .extra = border_from("{}"),
    };
}

static apflow_finished finished_of(const apflow_plugin_process_finished_t *got) {
    return (apflow_finished){
        .code = got->code.is_some ? got->code.val : -1,
        .signal = got->signal.is_some ? got->signal.val : 0,
        .output = bytes_to(got->stdout_),
        .errors = bytes_to(got->stderr_),
        .truncated = got->truncated,
    };
}

bool apflow_run(const apflow_command *command, apflow_finished *finished) {
    apflow_plugin_process_command_t wanted = given(command);
    apflow_plugin_process_finished_t got;
    apflow_plugin_process_process_error_t error;
    if (!apflow_plugin_process_run(&wanted, &got, &error)) return refused(&error);
    *finished = finished_of(&got);
    return true;
}

bool apflow_start(const apflow_command *command, apflow_child *child) {
    apflow_plugin_process_command_t wanted = given(command);
    apflow_plugin_process_own_child_t got;
    apflow_plugin_process_process_error_t error;
    if (!apflow_plugin_process_start(&wanted, &got, &error)) return refused(&error);
    child->handle = got.__handle;
    return true;
}

static apflow_plugin_process_borrow_child_t borrow(apflow_child child) {
    return (apflow_plugin_process_borrow_child_t){child.handle};
}

bool apflow_child_read_output(apflow_child child, uint32_t max, apflow_bytes *piece) {
    capabilities_option_list_u8_t got;
    apflow_plugin_process_process_error_t error;
    if (!apflow_plugin_process_method_child_read_stdout(borrow(child), max, &got, &error)) return refused(&error);
    *piece = piece_to(got);
    return true;
}

bool apflow_child_read_errors(apflow_child child, uint32_t max, apflow_bytes *piece) {
    capabilities_option_list_u8_t got;
    apflow_plugin_process_process_error_t error;
    if (!apflow_plugin_process_method_child_read_stderr(borrow(child), max, &got, &error)) return refused(&error);
    *piece = piece_to(got);
    return true;
}

bool apflow_child_write(apflow_child child, apflow_bytes data, uint32_t *taken) {
    capabilities_list_u8_t sent = bytes_from(data);
    apflow_plugin_process_process_error_t error;
    return apflow_plugin_process_method_child_write_stdin(borrow(child), &sent, taken, &error) || refused(&error);
}

bool apflow_child_close_input(apflow_child child) {
    apflow_plugin_process_process_error_t error;
    return apflow_plugin_process_method_child_close_stdin(borrow(child), &error) || refused(&error);
}

bool apflow_child_wait(apflow_child child, apflow_finished *finished) {
    apflow_plugin_process_finished_t got;
    apflow_plugin_process_process_error_t error;
    if (!apflow_plugin_process_method_child_wait(borrow(child), &got, &error)) return refused(&error);
    *finished = finished_of(&got);
    return true;
}

bool apflow_child_kill(apflow_child child) {
    apflow_plugin_process_process_error_t error;
    return apflow_plugin_process_method_child_kill(borrow(child), &error) || refused(&error);
}

void apflow_child_drop(apflow_child child) {
    drop_child(child.handle);
}
