/* Between C's text and the generated bindings'. The generated files each name a string type of their own; whoever
 * includes this file defines BORDER_TEXT as that name, after the bindings. */
#include "internal.h"

/* Host text is followed by a NUL (see `cabi_realloc`), but empty text has no memory at all. */
static inline const char *border_text(BORDER_TEXT text) {
    return text.len == 0 ? "" : (const char *)text.ptr;
}

static inline BORDER_TEXT border_from(const char *text) {
    const char *given = text == NULL ? "" : text;
    return (BORDER_TEXT){(uint8_t *)given, strlen(given)};
}

#ifdef BORDER_WITH_FAILURES

/* Half a character must not reach the border: a text that is no UTF-8 would be a trap. */
static BORDER_TEXT border_sentence(const char *text) {
    char *copy = apflow_format("%s", text == NULL ? "" : text);
    for (unsigned char *at = (unsigned char *)copy; *at != 0;) {
        size_t more = *at < 0x80 ? 0 : (*at & 0xE0) == 0xC0 ? 1 : (*at & 0xF0) == 0xE0 ? 2 : (*at & 0xF8) == 0xF0 ? 3 : 9;
        size_t seen = 0;
        while (seen < more && (at[seen + 1] & 0xC0) == 0x80) seen++;
        bool overlong = (more == 1 && at[0] < 0xC2) || (more == 2 && at[0] == 0xE0 && at[1] < 0xA0)
            || (more == 2 && at[0] == 0xED && at[1] > 0x9F) || (more == 3 && at[0] == 0xF0 && at[1] < 0x90)
            || (more == 3 && (at[0] > 0xF4 || (at[0] == 0xF4 && at[1] > 0x8F)));
        if (seen != more || overlong) {
            *at++ = '?';
        } else {
            at += more + 1;
        }
    }
    return border_from(copy);
}

static void border_issue(const apflow_failure *failure, apflow_plugin_types_issue_t *issue) {
    issue->code = border_sentence(failure->code);
    issue->message = border_sentence(failure->message);
    issue->pointer.is_some = failure->pointer != NULL;
    if (failure->pointer != NULL) issue->pointer.val = border_sentence(failure->pointer);
    issue->extra = border_sentence(failure->extra == NULL ? "{}" : failure->extra);
}

/* Writes the failure that the author's function has told; always gives false, as the bindings want it. */
static bool border_failure(const char *where, apflow_plugin_types_failure_t *into) {
    const apflow_failure *failure = apflow_reported_failure(where);
    switch (failure->kind) {
    case APFLOW_BAD_INPUT:
        into->tag = APFLOW_PLUGIN_TYPES_FAILURE_BAD_INPUT;
        border_issue(failure, &into->val.bad_input);
        break;
    case APFLOW_RETRYABLE:
        into->tag = APFLOW_PLUGIN_TYPES_FAILURE_RETRYABLE;
        border_issue(failure, &into->val.retryable.issue);
        into->val.retryable.after_ms.is_some = failure->after_ms > 0;
        into->val.retryable.after_ms.val = failure->after_ms;
        break;
    case APFLOW_CANCELLED:
        into->tag = APFLOW_PLUGIN_TYPES_FAILURE_CANCELLED;
        break;
    default:
        into->tag = APFLOW_PLUGIN_TYPES_FAILURE_PERMANENT;
        border_issue(failure, &into->val.permanent);
    }
    apflow_end();
    return false;
}

#endif
