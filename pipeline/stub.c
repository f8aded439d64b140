/* SPDX-License-Identifier: MIT */
#include "pipeline/api.h"

static enum limn_status later(struct limn_error *error)
{
    struct error err = {0};
    err.status = fail(&err, STATUS_UNSUPPORTED, "this part of limn is not built yet");
    return api_result(error, &err);
}

enum limn_status limn_bench_sgemm(double *g, const struct limn_bench_options *o, struct limn_error *e)
{
    (void)g;
    (void)o;
    return later(e);
}
enum limn_status limn_bench_run(struct limn_bench_result *r, const char *n, double g,
                                const struct limn_bench_options *o, struct limn_error *e)
{
    (void)r;
    (void)n;
    (void)g;
    (void)o;
    return later(e);
}
const char *limn_bench_name(int i)
{
    static const char *n[] = {"unet-sd15-512-cfg", "vae-decode-sd15-512", "clip-text", "pack-picture"};
    return i < 4 ? n[i] : NULL;
}
