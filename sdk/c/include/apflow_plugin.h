/* Write plugins for apflow in C: executors, hooks and collectors as WebAssembly components.
 *
 * Three rules hold everywhere:
 *
 * - Memory: what this library gives you, and what you make with `apflow_alloc`, `apflow_format` or a JSON document of
 *   it, lives until your function has returned. What you give to it is copied, or read before you go on. So there is
 *   nothing to free. What must live longer (a collector's figures) belongs into static variables or your own `malloc`.
 * - Failures: a function that gives `bool` gives false after it has said why. Pass it on with `return false;`, or look
 *   at `apflow_last_failure()` and go on with `apflow_forget_failure()`.
 * - Text is UTF-8 and ends with NUL; a text that holds a NUL itself is cut there. Bodies and streams are `apflow_bytes`.
 *   Zero and NULL mean "not there" or "as usual", so structures are written with the fields that matter.
 *
 * JSON is yyjson's: https://ibireme.github.io/yyjson/doc/doxygen/html/
 */
#ifndef APFLOW_PLUGIN_H
#define APFLOW_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "yyjson.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Memory and text ------------------------------------------------------------------------------------------- */

/* Bytes of any kind; `data[size]` is always a readable NUL. */
typedef struct apflow_bytes {
    const uint8_t *data;
    size_t size;
} apflow_bytes;

/* Zeroed memory, fit for any type. Never NULL: where there is no memory left the host ends the call. */
void *apflow_alloc(size_t size);

/* Text made as by `printf`. */
char *apflow_format(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/* A text as bytes, and a new JSON document for `yyjson_mut_*`. */
apflow_bytes apflow_bytes_of(const char *text);
yyjson_mut_doc *apflow_json_new(void);

/* Reads a JSON text; NULL if it is none (no failure is set). */
yyjson_val *apflow_json_read(apflow_bytes text);

/* Writes a value as JSON text. */
const char *apflow_json_write(const yyjson_val *value);
const char *apflow_json_write_mut(const yyjson_mut_val *value);

/* ---- Failures --------------------------------------------------------------------------------------------------- */

typedef enum apflow_failure_kind {
    APFLOW_BAD_INPUT = 1, /* The inputs or params break the executor's contract. Never retried. */
    APFLOW_RETRYABLE,     /* May succeed later. Retried as the task's retry policy says. */
    APFLOW_PERMANENT,     /* Will fail again. Never retried. */
    APFLOW_CANCELLED,     /* The plugin stopped because it was asked to. */
} apflow_failure_kind;

typedef struct apflow_failure {
    apflow_failure_kind kind;
    const char *code;    /* Stable, lower case, words joined by `_`. */
    const char *message; /* One sentence: the field, the value and the remedy. */
    const char *pointer; /* Where in the inputs, as a JSON pointer; or NULL. */
    const char *extra;   /* More data as a JSON object; or NULL. */
    uint32_t after_ms;   /* For retryable ones: the shortest wait in milliseconds, or 0. */
} apflow_failure;

/* Each says why the function at hand fails, and gives false: `return apflow_bad_input("negative", "/amount", …);` */
bool apflow_bad_input(const char *code, const char *pointer, const char *format, ...)
    __attribute__((__format__(__printf__, 3, 4)));
bool apflow_retryable(const char *code, uint32_t after_ms, const char *format, ...)
    __attribute__((__format__(__printf__, 3, 4)));
bool apflow_permanent(const char *code, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));
bool apflow_cancelled(void);
bool apflow_fail(apflow_failure failure);

/* Why the last function gave false; NULL if none did. */
const apflow_failure *apflow_last_failure(void);
void apflow_forget_failure(void);

/* ---- Log and progress ------------------------------------------------------------------------------------------- */

/* One line in the host's log: `level` is `trace`, `debug`, `info`, `warn` or `error`. */
void apflow_log(const char *level, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* Reports that `fraction` (0 to 1) is done, with one short sentence. Readers of the event log see the newest report. */
void apflow_progress(double fraction, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* The same with output that is already worth reading, as JSON text. */
void apflow_progress_with(double fraction, const char *message, const char *partial);

/* ---- Executors -------------------------------------------------------------------------------------------------- */

/* One attempt at one task. */
typedef struct apflow_call {
    const char *executor;
    const char *task_id;
    const char *tree_id;
    uint32_t attempt;            /* From 1. */
    const char *idempotency_key; /* The same for every attempt: give it to the outside world. */
    uint32_t timeout_ms;         /* 0 where there is no limit. */
    const char *trace_parent;    /* W3C `traceparent`; NULL if the task is not traced. */
    yyjson_val *inputs;          /* A JSON object that satisfies the input schema. */
    yyjson_val *params;          /* The task's params: a JSON object. */
    yyjson_mut_doc *out;         /* For building the result. */
    const char *result;          /* JSON text; set by `apflow_result` or by hand. */
} apflow_call;

/* What the host, its users and language models need to know about one executor. Lists end with NULL. */
typedef struct apflow_executor {
    const char *id; /* What tasks name: lower case, digits and `_`, at most 100 characters. */
    const char *name;
    const char *description;
    const char *const *tags;
    const char *const *examples; /* JSON objects that satisfy the input schema. */
    const char *input_schema;    /* JSON Schema (2020-12); the host checks every call against it. NULL: any object. */
    const char *output_schema;   /* NULL: anything. */
    bool cancelable;             /* Whether an interrupted call leaves the outside world whole. */
    bool idempotent;             /* Whether twice with one idempotency key is as once. */
    const char *demo_result;     /* JSON text; or NULL. */
    bool (*execute)(apflow_call *call);
} apflow_executor;

/* Yours, in a plugin of kind `executor`: all its executors, NULL at the end. */
extern const apflow_executor *const apflow_executors[];

/* Sets the result and gives true: `return apflow_result(call, yyjson_mut_str(call->out, text));` */
bool apflow_result(apflow_call *call, yyjson_mut_val *result);

/* Reads one member of an object into `value`. One that is missing leaves `value` as it is, which is its default; a text
 * must be there if its default is NULL. What does not fit is bad input with the place. */
bool apflow_get_text(yyjson_val *object, const char *name, const char **value);
bool apflow_get_integer(yyjson_val *object, const char *name, int64_t low, int64_t high, int64_t *value);
bool apflow_get_number(yyjson_val *object, const char *name, double *value);
bool apflow_get_bool(yyjson_val *object, const char *name, bool *value);

/* ---- Hooks ------------------------------------------------------------------------------------------------------ */

/* A point to hear of: `tree.created`, `tree.started`, `tree.completed`, `tree.failed`, `task.ready`,
 * `task.before-run`, `task.after-run`, `webhook.verify` or `placement`. */
typedef struct apflow_subscription {
    const char *point;
    const char *const *executors; /* Only tasks of these, NULL at the end; NULL for all. */
} apflow_subscription;

/* Something that happened or is about to. */
typedef struct apflow_event {
    const char *point;
    const char *at; /* RFC 3339, UTC. */
    const char *tree_id;
    const char *task_id;  /* NULL at points of a tree. */
    const char *executor; /* NULL where there is none. */
    uint32_t attempt;     /* From 1; 0 where there is none. */
    yyjson_val *inputs;   /* At `task.before-run` and `task.after-run`; else NULL. */
    yyjson_val *outcome;  /* At `task.after-run`: `status`, `result` or `error`, `duration_ms`; else NULL. */
    yyjson_val *subject;  /* Name, owner, params, priority and metadata of the task or root. */
    yyjson_mut_doc *out;  /* For building inputs or a result. */
    struct apflow_decision *decision;
} apflow_event;

/* Yours, in a plugin of kind `hooks`: the points, ended by `{0}`, and what decides. It gives true after one of the
 * decisions below; without one it means to proceed. */
extern const apflow_subscription apflow_subscriptions[];
bool apflow_on_event(apflow_event *event);

/* Decisions; each gives true. */
bool apflow_proceed(apflow_event *event);
bool apflow_replace_inputs(apflow_event *event, yyjson_mut_val *inputs);
bool apflow_supply_result(apflow_event *event, yyjson_mut_val *result);
bool apflow_delay(apflow_event *event, uint32_t delay_ms);
bool apflow_veto(apflow_event *event, const char *code, const char *format, ...)
    __attribute__((__format__(__printf__, 3, 4)));

/* ---- Collectors ------------------------------------------------------------------------------------------------- */

/* One finished attempt or tree. */
typedef struct apflow_measurement {
    const char *kind;     /* `task.completed`, `task.failed`, `task.cancelled`, `task.retrying`, `tree.completed`, … */
    uint64_t sequence;    /* Number in the event log; a batch that is sent again carries the same numbers. */
    const char *at;       /* RFC 3339, UTC. */
    const char *tree_id;
    const char *task_id;  /* NULL for trees. */
    const char *executor; /* NULL for trees. */
    uint32_t attempt;     /* From 1; 0 for trees. */
    double duration_ms;
    const char *code;     /* The error code; NULL where it did not fail. */
    const char *receipt;  /* CPU time, memory, bytes of the attempt: JSON text. */
} apflow_measurement;

/* Yours, in a plugin of kind `collector`. A batch comes at least once. `apflow_render` gives the present figures, "" if
 * there is nothing to pull, NULL after a failure. Static variables are the state: the host keeps the instance between
 * calls, but may replace it at any time. */
bool apflow_collect(const apflow_measurement *batch, size_t count);
const char *apflow_render(void);

/* ---- HTTP: ask for `http` in plugin.toml ------------------------------------------------------------------------ */

/* A header, an environment variable. */
typedef struct apflow_pair {
    const char *name;
    const char *value;
} apflow_pair;

#define APFLOW_NO_REDIRECTS (-1)

typedef struct apflow_http_request {
    const char *method; /* NULL: GET. */
    const char *url;    /* Absolute, `http` or `https`. */
    const apflow_pair *headers;
    size_t header_count;
    apflow_bytes body;
    uint32_t timeout_ms;   /* 0: the call's own deadline. */
    int32_t max_redirects; /* 0: up to 10; APFLOW_NO_REDIRECTS: give the redirect itself. */
} apflow_http_request;

typedef struct apflow_http_response {
    uint32_t status;
    const char *url;            /* Where it came from, after redirects. */
    const apflow_pair *headers; /* Names in lower case. */
    size_t header_count;
    apflow_bytes body; /* Empty in a streamed response. */
} apflow_http_response;

/* The rest of a streamed response. */
typedef struct apflow_http_body {
    int32_t handle;
} apflow_http_body;

/* Sends and waits for the whole response, whatever its status. Failures: `http_denied`, `http_prohibited_address`,
 * `http_timeout` and `http_connect` (retryable), `http_too_large`, `http_bad_request`. */
bool apflow_http_send(const apflow_http_request *request, apflow_http_response *response);

/* The first header of this name in lower case; NULL if there is none. */
const char *apflow_http_header(const apflow_http_response *response, const char *name);

/* The body as JSON; a body that is none is a permanent failure, code `invalid_response`. */
bool apflow_http_json(const apflow_http_response *response, yyjson_val **value);

/* Sends and returns as soon as the headers are there. `read` gives at most `max` bytes, and NULL data at the end. */
bool apflow_http_send_streamed(const apflow_http_request *request, apflow_http_response *head, apflow_http_body *body);
bool apflow_http_read(apflow_http_body body, uint32_t max, apflow_bytes *piece);
bool apflow_http_trailers(apflow_http_body body, const apflow_pair **trailers, size_t *count);
void apflow_http_close(apflow_http_body body);

/* ---- Programs: ask for `process` -------------------------------------------------------------------------------- */

typedef struct apflow_command {
    const char *program;     /* As the grant names it. */
    const char *const *args; /* NULL at the end. */
    const apflow_pair *env;
    size_t env_count;
    const char *cwd; /* A granted folder; NULL: an empty one. */
    apflow_bytes input;
    uint32_t timeout_ms; /* 0: the call's own deadline. */
} apflow_command;

typedef struct apflow_finished {
    int32_t code;   /* The exit code; -1 where a signal ended it. */
    int32_t signal; /* 0 where none did. */
    apflow_bytes output;
    apflow_bytes errors; /* Standard error. */
    bool truncated;      /* Whether output over the limit was cut off. */
} apflow_finished;

typedef struct apflow_child {
    int32_t handle;
} apflow_child;

/* Runs to the end, whatever the exit code. Failures: `process_denied`, `process_start`, `process_timeout` (retryable). */
bool apflow_run(const apflow_command *command, apflow_finished *finished);

/* Starts and returns at once. Reading gives at most `max` bytes, and NULL data at the end. */
bool apflow_start(const apflow_command *command, apflow_child *child);
bool apflow_child_read_output(apflow_child child, uint32_t max, apflow_bytes *piece);
bool apflow_child_read_errors(apflow_child child, uint32_t max, apflow_bytes *piece);
bool apflow_child_write(apflow_child child, apflow_bytes data, uint32_t *taken);
bool apflow_child_close_input(apflow_child child);
bool apflow_child_wait(apflow_child child, apflow_finished *finished);
bool apflow_child_kill(apflow_child child);
/* Gives it up; a program that still runs is killed. */
void apflow_child_drop(apflow_child child);

/* ---- Connections: ask for `net` --------------------------------------------------------------------------------- */

typedef struct apflow_connection {
    int32_t handle;
} apflow_connection;

/* Opens a stream; with `tls` the host speaks it and checks the certificate against `host`. Failures: `net_denied`,
 * `net_prohibited_address`, `net_timeout`, `net_connect` and `net_closed` (these three retryable). */
bool apflow_connect(const char *host, uint16_t port, bool tls, uint32_t timeout_ms, apflow_connection *connection);
/* At most `max` bytes, NULL data when the peer has closed. Waits `timeout_ms`, 0: the call's own deadline. */
bool apflow_connection_read(apflow_connection connection, uint32_t max, uint32_t timeout_ms, apflow_bytes *piece);
bool apflow_connection_write(apflow_connection connection, apflow_bytes data);
/* Closes the sending side. */
bool apflow_connection_finish(apflow_connection connection);
void apflow_connection_close(apflow_connection connection);

/* ---- The machine's figures: ask for `system` -------------------------------------------------------------------- */

typedef struct apflow_cpu {
    const char *os, *arch, *brand;
    uint32_t cores, threads;
    double load[3]; /* Over 1, 5 and 15 minutes. */
} apflow_cpu;

typedef struct apflow_memory {
    uint64_t total, available; /* Bytes. */
} apflow_memory;

typedef struct apflow_disk {
    const char *mount, *file_system;
    uint64_t total, available; /* Bytes. */
} apflow_disk;

bool apflow_read_cpu(apflow_cpu *cpu);
bool apflow_read_memory(apflow_memory *memory);
bool apflow_read_disks(const apflow_disk **disks, size_t *count);

/* ---- Secrets: ask for `secrets` --------------------------------------------------------------------------------- */

/* The placeholder for a secret, which the host replaces in requests to hosts that own it. The value is never here. */
bool apflow_secret(const char *name, const char **placeholder);

/* ---- State: ask for `state` ------------------------------------------------------------------------------------- */

/* A value and its version, kept over restarts and shared by all instances of this plugin. */
typedef struct apflow_entry {
    yyjson_val *value;   /* NULL: the key is not set. */
    const char *version; /* NULL likewise. */
} apflow_entry;

bool apflow_state_get(const char *key, apflow_entry *entry);
/* Writes JSON text; NULL removes the key. */
bool apflow_state_put(const char *key, const char *value);
/* Writes only if the version is still `expected` (NULL: only if the key is not set); `done` says whether it did. */
bool apflow_state_compare_and_set(const char *key, const char *expected, const char *value, bool *done);

/* ---- Child tasks: ask for `tasks` ------------------------------------------------------------------------------- */

/* Submits a tree (JSON text: an array of task objects) as children of the running task. The same key, the same tree. */
bool apflow_tasks_submit(const char *tree, const char *idempotency_key, const char **root_id);
/* Waits for it: `{"status", "result", "error"}`. */
bool apflow_tasks_await(const char *root_id, yyjson_val **result);

/* ---- Checkpoints: there is nothing to ask for ----------------------------------------------------------- */

/* The newest checkpoint of this task; NULL if there is none. */
bool apflow_checkpoint_load(yyjson_val **data);
/* Replaces it with this JSON text. It is durable when this returns. */
bool apflow_checkpoint_save(const char *data);

#ifdef __cplusplus
}
#endif
#endif
