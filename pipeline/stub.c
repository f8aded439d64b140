/* SPDX-License-Identifier: MIT */
#include "pipeline/api.h"
static enum limn_status later(struct limn_error *error)
{
    struct error err = {0};
    err.status = fail(&err, STATUS_UNSUPPORTED, "this part of limn is not built yet");
    return api_result(error, &err);
}
enum limn_status limn_model_open(struct limn_model **m, const struct limn_model_options *o, struct limn_error *e)
{
    (void)m;
    (void)o;
    return later(e);
}
void limn_model_close(struct limn_model *m)
{
    (void)m;
}
enum limn_status limn_paint(struct limn_model *m, const struct limn_request *r, struct limn_picture *p,
                            struct limn_error *e)
{
    (void)m;
    (void)r;
    (void)p;
    return later(e);
}
const char *limn_rng_name(int i)
{
    static const char *n[] = {"philox", "mt19937"};
    return i < 2 ? n[i] : NULL;
}
enum limn_status limn_info_read(struct limn_info *i, const char *p, struct limn_error *e)
{
    (void)i;
    (void)p;
    return later(e);
}
void limn_info_clear(struct limn_info *i)
{
    (void)i;
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
