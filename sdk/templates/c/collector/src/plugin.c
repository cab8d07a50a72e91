/* A collector that counts finished tasks and the time they took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apflow_plugin.h"

/* What is counted, by executor and kind of end. It outlives a call, so it is not of the call's memory. */
typedef struct figure {
    struct figure *next;
    char *labels;
    unsigned long long count;
    double ms;
} figure;

static figure *figures;
/* The newest measurement that was counted: a batch may come again. */
static uint64_t newest;

static figure *figure_of(const char *labels) {
    for (figure *one = figures; one != NULL; one = one->next) {
        if (strcmp(one->labels, labels) == 0) return one;
    }
    figure *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL || (fresh->labels = strdup(labels)) == NULL) abort();
    fresh->next = figures;
    return figures = fresh;
}

bool apflow_collect(const apflow_measurement *batch, size_t count) {
    for (size_t at = 0; at < count; at++) {
        if (batch[at].sequence <= newest) continue;
        newest = batch[at].sequence;
        if (batch[at].executor == NULL) continue;
        figure *one = figure_of(apflow_format("{executor=\"%s\",kind=\"%s\"}", batch[at].executor, batch[at].kind));
        one->count += 1;
        one->ms += batch[at].duration_ms;
    }
    return true;
}

const char *apflow_render(void) {
    const char *text = "";
    for (const figure *one = figures; one != NULL; one = one->next) {
        text = apflow_format("%stasks_total%s %llu\ntasks_seconds_total%s %.3f\n", text, one->labels, one->count,
            one->labels, one->ms / 1000);
    }
    return text;
}
