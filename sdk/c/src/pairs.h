/* Lists of names and values, bytes, and dropping handles: what the capabilities share. */
#include "../bindings/generated/capabilities.h"
#define BORDER_TEXT capabilities_string_t
#include "border.h"

static inline capabilities_list_tuple2_string_string_t pairs_from(const apflow_pair *pairs, size_t count) {
    capabilities_list_tuple2_string_string_t out = {apflow_alloc(count * sizeof(capabilities_tuple2_string_string_t)), count};
    for (size_t at = 0; at < count; at++) {
        out.ptr[at].f0 = border_from(pairs[at].name);
        out.ptr[at].f1 = border_from(pairs[at].value);
    }
    return out;
}

static inline const apflow_pair *pairs_to(capabilities_list_tuple2_string_string_t given) {
    apflow_pair *out = apflow_alloc(given.len * sizeof *out);
    for (size_t at = 0; at < given.len; at++) {
        out[at] = (apflow_pair){border_text(given.ptr[at].f0), border_text(given.ptr[at].f1)};
    }
    return out;
}

static inline capabilities_list_u8_t bytes_from(apflow_bytes bytes) {
    return (capabilities_list_u8_t){(uint8_t *)bytes.data, bytes.size};
}

static inline apflow_bytes bytes_to(capabilities_list_u8_t given) {
    return given.len == 0 ? apflow_bytes_of("") : (apflow_bytes){given.ptr, given.len};
}

static inline apflow_bytes piece_to(capabilities_option_list_u8_t given) {
    return given.is_some ? bytes_to(given.val) : (apflow_bytes){NULL, 0};
}

static inline capabilities_option_u32_t when_set(uint32_t value) {
    return (capabilities_option_u32_t){value > 0, value};
}

/* The import that drops a handle; the bindings leave it out together with their other helpers. */
#define DROPS(interface, resource, name)                                                                               \
    __attribute__((__import_module__("apflow:plugin/" interface "@0.1.0"), __import_name__("[resource-drop]" resource))) \
    extern void name(int32_t handle)
