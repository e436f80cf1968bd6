// SPDX-License-Identifier: MIT OR Apache-2.0
/* doctor.c - wick doctor: what this build and this machine can do, and what is missing. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

/* The mode of transparent huge pages stands in brackets: "always [madvise] never". */
static void huge_pages(char mode[32])
{
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    char  line[128] = "";
    strcpy(mode, "unknown");
    if (f && fgets(line, sizeof line, f)) {
        const char *open = strchr(line, '['), *end = open ? strchr(open, ']') : NULL;
        if (end && end - open < 32) {
            memcpy(mode, open + 1, (size_t)(end - open - 1));
            mode[end - open - 1] = '\0';
        }
    }
    if (f)
        fclose(f);
}

int doctor_verb(settings *s)
{
    char       pages[32];
    wk_device *cpu = wk_device_open("cpu"), *best = wk_best_device();
    huge_pages(pages);
    if (s->json) {
        printf("{\"version\": \"%s\", \"cpu\": \"%s\", \"instruction_sets\": \"%s\", \"threads\": "
               "%d, \"huge_pages\": \"%s\", "
               "\"device\": \"%s\", \"features\": {",
               wk_version(), wk_device_detail(cpu), wk_device_options(cpu), wk_threads(), pages,
               wk_device_name(best));
        for (int i = 0; wk_features(i); i++)
            printf("%s\"%s\": %s", i ? ", " : "", wk_features(i)->name,
                   wk_features(i)->present ? "true" : "false");
        printf("}}\n");
        return finish();
    }
    printf("wick %s\n", wk_version());
    printf("  instructions   %s, of %s\n", wk_device_detail(cpu), wk_device_options(cpu));
    printf("  threads        %d\n", wk_threads());
    printf("  huge pages     %s\n", pages);
    printf("  device         %s %s\n", wk_device_name(best), wk_device_detail(best));
    for (int i = 0; wk_features(i); i++) {
        const wk_feature *f = wk_features(i);
        if (f->present)
            printf("  %-14s yes, for %s\n", f->name, f->purpose);
        else
            printf("  %-14s no, so no %s: %s\n", f->name, f->purpose, f->get);
    }
    if (!strcmp(pages, "never"))
        printf("Huge pages are off: generation will be 5 to 12 %% slower than it could be.\n");
    return finish();
}
