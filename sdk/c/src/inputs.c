/* Reading members of JSON objects: each reader names the field, the value and the remedy. */
#include <inttypes.h>

#include "internal.h"

/* RFC 6901: `~` is `~0`, `/` is `~1`. */
static const char *pointer_to(const char *name) {
    char *pointer = apflow_alloc(2 * strlen(name) + 2), *at = pointer;
    *at++ = '/';
    for (; *name != 0; name++) {
        if (*name == '~' || *name == '/') *at++ = '~';
        *at++ = *name == '~' ? '0' : *name == '/' ? '1' : *name;
    }
    return pointer;
}

static bool misfit(yyjson_val *value, const char *name, const char *remedy) {
    const char *shown = apflow_json_write(value);
    return apflow_bad_input("invalid_input", pointer_to(name), "`%s` is %.80s: %s", name, shown, remedy);
}

bool apflow_get_text(yyjson_val *object, const char *name, const char **value) {
    yyjson_val *member = yyjson_obj_get(object, name);
    if (member == NULL) {
        if (*value != NULL) return true;
        return apflow_bad_input("missing_input", pointer_to(name), "`%s` is missing: give a string", name);
    }
    if (!yyjson_is_str(member)) return misfit(member, name, "give a string");
    *value = yyjson_get_str(member);
    return true;
}

bool apflow_get_integer(yyjson_val *object, const char *name, int64_t low, int64_t high, int64_t *value) {
    yyjson_val *member = yyjson_obj_get(object, name);
    if (member == NULL) return true;
    bool whole = yyjson_is_sint(member) || (yyjson_is_uint(member) && yyjson_get_uint(member) <= INT64_MAX);
    if (!whole || yyjson_get_sint(member) < low || yyjson_get_sint(member) > high) {
        return misfit(member, name, apflow_format("give a whole number from %" PRId64 " to %" PRId64, low, high));
    }
    *value = yyjson_get_sint(member);
    return true;
}

bool apflow_get_number(yyjson_val *object, const char *name, double *value) {
    yyjson_val *member = yyjson_obj_get(object, name);
    if (member == NULL) return true;
    if (!yyjson_is_num(member)) return misfit(member, name, "give a number");
    *value = yyjson_get_num(member);
    return true;
}

bool apflow_get_bool(yyjson_val *object, const char *name, bool *value) {
    yyjson_val *member = yyjson_obj_get(object, name);
    if (member == NULL) return true;
    if (!yyjson_is_bool(member)) return misfit(member, name, "give true or false");
    *value = yyjson_get_bool(member);
    return true;
}
