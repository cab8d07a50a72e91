/* What the files of this library share and plugins do not see. */
#ifndef APFLOW_INTERNAL_H
#define APFLOW_INTERNAL_H

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apflow_plugin.h"

/* Every exported function calls `begin` first and `end` last. */
void apflow_begin(void);
void apflow_end(void);

char *apflow_format_list(const char *format, va_list list);

/* Tells a failure of a capability: the sentence is the host's. Gives false. */
bool apflow_refused(apflow_failure_kind kind, const char *code, const char *message);
/* The same for an `other` case: JSON text with `code` and `message`, or plain text. */
bool apflow_refused_other(const char *code, const char *document);

/* The failure to report at the end of an export; one that tells nothing becomes a permanent one. */
const apflow_failure *apflow_reported_failure(const char *where);

/* A JSON object for the border: reads `text`, or makes an empty object of what is none. */
yyjson_val *apflow_json_object(apflow_bytes text);

#endif
