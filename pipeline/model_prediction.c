/* SPDX-License-Identifier: MIT
 *
 * Single files of SD 2.x do not say what their U-Net predicts, and there are both kinds. So it is asked, as the
 * AUTOMATIC1111 web UI and stable-diffusion.cpp ask: given even values at the last time and an even text, a model of
 * eps gives back about what it is given, for there all is noise; one of v gives much less.
 */
#include "core/base/memory.h"
#include "pipeline/api.h"
#include "pipeline/model.h"

enum { SIDE = 8, WORDS = 2 };

static const float grey = 0.5F;

struct question {
    struct stage stage;
    float *values; /* owned; the largest of the inputs */
    size_t x, embedding, context;
};

static enum status open_question(struct question *q, struct limn_model *model, struct error *err)
{
    const struct unet_config *unet = &model->unet;
    struct graph *g = &q->stage.graph;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(1, SIDE, SIDE, unet->in_channels));
    struct node *embedding = graph_input(g, "embedding", DTYPE_F32, SHAPE(1, unet->model_channels));
    struct node *context = graph_input(g, "context", DTYPE_F32, SHAPE(1, WORDS, unet->context_width));
    graph_output(g, "y", unet_build(g, unet, &(struct unet_inputs){x, embedding, context, NULL}));
    q->x = (size_t)shape_count(x->shape);
    q->embedding = (size_t)unet->model_channels;
    q->context = (size_t)shape_count(context->shape);
    const size_t bytes = (q->x + q->embedding + q->context) * sizeof(float);
    q->values = memory_alloc_raw(bytes);
    if (!q->values) return fail_no_memory(err, "a question to the U-Net", bytes);
    return stage_open(&q->stage, model, model->checkpoint, err);
}

/* *less: the mean of what is given back, less than what was given by so much. */
static enum status ask(struct question *q, const struct limn_model *model, double *less, struct error *err)
{
    struct exec *exec = q->stage.exec;
    float *x = q->values, *embedding = x + q->x, *context = embedding + q->embedding;
    for (size_t i = 0; i < q->x; i++) x[i] = grey;
    for (size_t i = 0; i < q->context; i++) context[i] = grey;
    unet_time_embedding(model->schedule.options.train_steps - 1, (int)q->embedding, embedding);
    enum status status = exec_write(exec, "x", x, err);
    if (status == STATUS_OK) status = exec_write(exec, "embedding", embedding, err);
    if (status == STATUS_OK) status = exec_write(exec, "context", context, err);
    if (status == STATUS_OK) status = exec_run(exec, err);
    if (status == STATUS_OK) status = exec_read(exec, "y", x, err);
    double sum = 0;
    for (size_t i = 0; i < q->x; i++) sum += (double)grey - (double)x[i];
    *less = sum / (double)q->x;
    return status;
}

enum status model_ask_prediction(struct limn_model *model, const struct limn_watch *watch, struct error *err)
{
    const struct recognition *r = &model->recognised;
    struct question question = {0};
    double less = 0;
    if (r->prediction_said || model->prediction_forced) return STATUS_OK;
    if (r->kind == MODEL_SD2_INPAINT)
        watch_note(watch, "the file does not say what its U-Net predicts; eps is assumed (--prediction takes another)");
    if (r->kind != MODEL_SD2) return STATUS_OK;
    enum status status = open_question(&question, model, err);
    if (status == STATUS_OK) status = ask(&question, model, &less, err);
    stage_close(&question.stage);
    memory_free(question.values);
    if (status != STATUS_OK) return status;
    model->schedule.options.prediction = less > 1 ? PREDICTION_V : PREDICTION_EPSILON;
    watch_note(watch,
               "the file does not say what its U-Net predicts; by what it makes of plain grey it is %s "
               "(--prediction takes another)",
               less > 1 ? "v" : "eps");
    return STATUS_OK;
}
