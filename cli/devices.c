/* SPDX-License-Identifier: MIT
 *
 * limn devices [--check]
 */
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <stdio.h>

static void name_of(const struct limn_device *d, char text[32])
{
    snprintf(text, 32, d->number < 0 ? "cpu" : "vulkan:%d", d->number);
}

static void write_json(const struct limn_devices *devices)
{
    json_t *list = json_array();
    for (int i = 0; i < devices->count; i++) {
        const struct limn_device *d = &devices->list[i];
        char name[32];
        name_of(d, name);
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:s, s:o, s:s, s:s, s:I, s:b, s:o}", "device", name, "name",
                                        event_text(d->name), "type", d->type, "driver", event_text(d->driver), "vulkan",
                                        d->version, "kernels", d->kernels, "memory", (json_int_t)d->memory, "default",
                                        d->usual, "problem", d->problem[0] ? event_text(d->problem) : json_null()));
    }
    event_write(json_pack("{s:o, s:o}", "devices", list, "problem",
                          devices->problem ? event_text(devices->problem) : json_null()));
}

static void print_list(const struct limn_devices *devices)
{
    for (int i = 0; i < devices->count; i++) {
        const struct limn_device *d = &devices->list[i];
        char name[32];
        name_of(d, name);
        printf("%-9s ", name);
        print_clean(stdout, d->problem[0] ? d->problem : d->name);
        if (d->problem[0]) {
            putchar('\n');
            continue;
        }
        printf("%s\n          %s, %.1f GiB", d->usual ? "  (default)" : "", d->type,
               (double)d->memory / (1024.0 * 1024.0 * 1024.0));
        if (d->version[0]) printf(", Vulkan %s, ", d->version);
        print_clean(stdout, d->driver);
        printf("\n          %s%s\n", d->number < 0 ? "" : "kernels: ", d->kernels);
    }
    if (devices->problem) {
        print_clean(stdout, devices->problem);
        putchar('\n');
    }
}

/* ---- checking ---- */

struct report {
    const struct options *options;
    json_t *ops;
};

static int stop(void *context)
{
    (void)context;
    return interrupted();
}

static void on_result(void *context, const struct limn_device_result *result)
{
    struct report *report = context;
    if (report->ops) {
        json_array_append_new(report->ops, json_pack("{s:s, s:i, s:i, s:o}", "op", result->op, "cases", result->cases,
                                                     "wrong", result->wrong, "fault",
                                                     result->fault ? event_text(result->fault) : json_null()));
    } else if (!report->options->given[OPTION_QUIET]) {
        printf("%-18s %s", result->op, result->fault ? "WRONG: " : "right\n");
        if (result->fault) {
            print_clean(stdout, result->fault);
            putchar('\n');
        }
        fflush(stdout);
    }
}

static int check_device(const struct options *options)
{
    struct limn_error error = {0};
    struct report report = {.options = options};
    const struct limn_watch watch = {.cancelled = stop};
    const struct limn_device_check_options check = {.device = options_device(options),
                                                    .compute = options_text(options, OPTION_COMPUTE),
                                                    .result = on_result,
                                                    .context = &report,
                                                    .watch = &watch};
    if (options->given[OPTION_JSON]) report.ops = json_array();
    const enum limn_status status = limn_device_check(&check, &error);
    if (report.ops)
        event_write(
            json_pack("{s:s, s:b, s:o}", "device", check.device, "right", status == LIMN_OK, "ops", report.ops));
    if (status != LIMN_OK) return report_failure(options, &error);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

int command_devices(const struct options *options)
{
    struct limn_error error = {0};
    struct limn_devices devices = {0};
    if (options->given[OPTION_CHECK]) return check_device(options);
    if (options->given[OPTION_DEVICE]) return usage_error("limn devices lists all of them; --device goes with --check");
    if (options->given[OPTION_COMPUTE])
        return usage_error("limn devices lists what there is; --compute goes with --check");
    if (limn_devices_read(&devices, &error) != LIMN_OK) return report_failure(options, &error);
    if (options->given[OPTION_JSON])
        write_json(&devices);
    else if (!options->given[OPTION_QUIET])
        print_list(&devices);
    limn_devices_clear(&devices);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
