/* One call from the host: its memory, its failure, its log and progress. Memory is a row of blocks that are filled one
 * after the other and given back together when the next call begins; what the host hands over lies there too. */
#include "../bindings/generated/capabilities.h"
#define BORDER_TEXT capabilities_string_t
#include "border.h"

#include <stdio.h>

/* ---- Memory ---- */

typedef struct block {
    struct block *older;
    size_t size, used;
    _Alignas(16) uint8_t data[];
} block;

enum { USUAL_BLOCK = 32 * 1024, ALIGNMENT = 16 };

static block *newest;
static bool ended; /* The last call is over: its memory is given back as soon as the next one wants some. */
static apflow_failure failure;

static void give_back(void) {
    while (newest != NULL && (newest->older != NULL || newest->size > USUAL_BLOCK)) {
        block *older = newest->older;
        free(newest);
        newest = older;
    }
    if (newest != NULL) newest->used = 0;
}

void apflow_begin(void) {
    if (ended) {
        ended = false;
        failure = (apflow_failure){0};
        give_back();
    }
}

void apflow_end(void) {
    ended = true;
}

/* Gives uninitialised memory. */
static void *take(size_t size) {
    if (size > SIZE_MAX / 2) abort();
    size_t needed = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (newest == NULL || newest->size - newest->used < needed) {
        size_t room = needed > USUAL_BLOCK ? needed : USUAL_BLOCK;
        block *fresh = malloc(sizeof(block) + room);
        if (fresh == NULL) abort();
        *fresh = (block){.older = newest, .size = room};
        newest = fresh;
    }
    void *memory = newest->data + newest->used;
    newest->used += needed;
    return memory;
}

/* The host's door to this memory. One byte more than asked for is a NUL, so that its text is C's text. */
__attribute__((__export_name__("cabi_realloc"))) void *
cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    apflow_begin();
    if (size == 0) return (void *)align;
    uint8_t *memory = take(size + 1);
    if (old_size > 0) memcpy(memory, old, old_size < size ? old_size : size);
    memory[size] = 0;
    return memory;
}

/* The same door for the WASI adapter, whose memory lives as long as the instance. */
__attribute__((__export_name__("cabi_realloc_adapter"))) void *
apflow_adapter_memory(void *old, size_t old_size, size_t align, size_t size) {
    if (old_size > 0) abort(); /* It only ever asks for its one page. */
    (void)old;
    void *memory = aligned_alloc(align, (size + align - 1) / align * align);
    if (memory == NULL) abort();
    return memory;
}

void *apflow_alloc(size_t size) {
    return memset(take(size == 0 ? 1 : size), 0, size);
}

static void *json_take(void *context, size_t size) {
    (void)context;
    return take(size);
}

static void *json_grow(void *context, void *old, size_t old_size, size_t size) {
    (void)context;
    void *memory = take(size);
    memcpy(memory, old, old_size < size ? old_size : size);
    return memory;
}

static void json_release(void *context, void *memory) {
    (void)context;
    (void)memory;
}

static const yyjson_alc json_memory = {json_take, json_grow, json_release, NULL};

/* ---- Text and JSON ---- */

char *apflow_format_list(const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = apflow_alloc(size < 0 ? 1 : (size_t)size + 1);
    if (size > 0) vsnprintf(text, (size_t)size + 1, format, list);
    return text;
}

char *apflow_format(const char *format, ...) {
    va_list list;
    va_start(list, format);
    char *text = apflow_format_list(format, list);
    va_end(list);
    return text;
}

apflow_bytes apflow_bytes_of(const char *text) {
    return (apflow_bytes){(const uint8_t *)text, strlen(text)};
}

yyjson_mut_doc *apflow_json_new(void) {
    yyjson_mut_doc *document = yyjson_mut_doc_new(&json_memory);
    if (document == NULL) abort();
    return document;
}

yyjson_val *apflow_json_read(apflow_bytes text) {
    if (text.data == NULL) return NULL;
    return yyjson_doc_get_root(yyjson_read_opts((char *)text.data, text.size, 0, &json_memory, NULL));
}

yyjson_val *apflow_json_object(apflow_bytes text) {
    yyjson_val *value = apflow_json_read(text);
    return yyjson_is_obj(value) ? value : apflow_json_read(apflow_bytes_of("{}"));
}

const char *apflow_json_write(const yyjson_val *value) {
    return yyjson_val_write_opts(value, 0, &json_memory, NULL, NULL);
}

const char *apflow_json_write_mut(const yyjson_mut_val *value) {
    return yyjson_mut_val_write_opts(value, 0, &json_memory, NULL, NULL);
}

/* ---- Failures ---- */

bool apflow_fail(apflow_failure given) {
    failure = given;
    return false;
}

bool apflow_refused(apflow_failure_kind kind, const char *code, const char *message) {
    return apflow_fail((apflow_failure){.kind = kind, .code = code, .message = message});
}

bool apflow_refused_other(const char *code, const char *document) {
    yyjson_val *told = apflow_json_read(apflow_bytes_of(document));
    const char *own = yyjson_get_str(yyjson_obj_get(told, "code"));
    const char *message = yyjson_get_str(yyjson_obj_get(told, "message"));
    bool both = own != NULL && message != NULL;
    return apflow_refused(APFLOW_PERMANENT, both ? own : code, both ? message : document);
}

#define FAIL_WITH(format, ...)                                                                                         \
    do {                                                                                                               \
        va_list list;                                                                                                  \
        va_start(list, format);                                                                                        \
        apflow_fail((apflow_failure){__VA_ARGS__, .message = apflow_format_list(format, list)});                       \
        va_end(list);                                                                                                  \
        return false;                                                                                                  \
    } while (0)

bool apflow_bad_input(const char *code, const char *pointer, const char *format, ...) {
    FAIL_WITH(format, .kind = APFLOW_BAD_INPUT, .code = code, .pointer = pointer);
}

bool apflow_retryable(const char *code, uint32_t after_ms, const char *format, ...) {
    FAIL_WITH(format, .kind = APFLOW_RETRYABLE, .code = code, .after_ms = after_ms);
}

bool apflow_permanent(const char *code, const char *format, ...) {
    FAIL_WITH(format, .kind = APFLOW_PERMANENT, .code = code);
}

bool apflow_cancelled(void) {
    return apflow_fail((apflow_failure){.kind = APFLOW_CANCELLED});
}

const apflow_failure *apflow_last_failure(void) {
    return failure.kind == 0 ? NULL : &failure;
}

void apflow_forget_failure(void) {
    failure = (apflow_failure){0};
}

const apflow_failure *apflow_reported_failure(const char *where) {
    if (failure.kind == 0) {
        apflow_permanent("plugin_error", "%s gave false and did not say why", where);
    }
    return &failure;
}

/* ---- Log and progress ---- */

void apflow_log(const char *level, const char *format, ...) {
    va_list list;
    va_start(list, format);
    capabilities_string_t line = border_from(apflow_format_list(format, list)), word = border_from(level);
    va_end(list);
    apflow_plugin_log_write(&word, &line);
}

void apflow_progress(double fraction, const char *format, ...) {
    va_list list;
    va_start(list, format);
    apflow_progress_with(fraction, apflow_format_list(format, list), NULL);
    va_end(list);
}

void apflow_progress_with(double fraction, const char *message, const char *partial) {
    capabilities_string_t sentence = border_from(message), document = border_from(partial);
    apflow_plugin_progress_report(fraction, message == NULL ? NULL : &sentence, partial == NULL ? NULL : &document);
}
