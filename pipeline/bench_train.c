/* SPDX-License-Identifier: MIT
 *
 * A step of training a pack's U-Net, as limn train takes it: forwards, backwards, gradients to the host, the optimiser,
 * weights back. The weights are the pack's own and stay as they are, for the learning rate is 0.
 */
#include "clip/text_encoder.h"
#include "core/nn/losses.h"
#include "core/nn/params.h"
#include "core/nn/trainer.h"
#include "pipeline/bench.h"
#include "pipeline/model.h"

enum { USUAL_BATCH = 32, USUAL_ROUNDS = 2 };

struct training_step {
    struct graph graph;
    struct exec *exec;
    struct trainer *trainer;
};

static struct node *build(struct graph *g, const struct limn_model *model, int64_t batch)
{
    const struct unet_config *unet = &model->unet;
    const int64_t side = (model->pack.size ? model->pack.size : 512) / vae_factor(&model->vae);
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(batch, side, side, unet->in_channels));
    struct node *target = graph_input(g, "target", DTYPE_F32, SHAPE(batch, side, side, unet->out_channels));
    struct node *embedding = graph_input(g, "embedding", DTYPE_F32, SHAPE(batch, unet->model_channels));
    const int64_t length = text_encoder_config(model->text)->length, width = unet->context_width;
    struct node *context = graph_input(g, "context", DTYPE_F32, SHAPE(batch, length, width));
    struct node *pooled = unet->pooled_width ? graph_input(g, "pooled", DTYPE_F32, SHAPE(batch, width)) : NULL;
    struct node *out = unet_build(g, unet, &(struct unet_inputs){x, embedding, context, pooled});
    struct node *loss = nn_squared_error(g, out, target, NULL);
    graph_output(g, "loss", loss);
    return loss;
}

static enum status open_step(struct training_step *step, const struct bench *bench, struct limn_model *model,
                             struct error *err)
{
    const int batch = bench->options->batch ? bench->options->batch : USUAL_BATCH;
    const struct trainer_options options = {.rule = {.kind = OPTIMISER_MUON,
                                                     .beta1 = 0.9F,
                                                     .beta2 = 0.99F,
                                                     .eps = 1e-8F,
                                                     .clip = 1,
                                                     .average = 0.999F,
                                                     .matrix_momentum = 0.95F,
                                                     .matrix_rate = 1},
                                            .threads = bench->options->threads};
    struct graph *g = &step->graph;
    struct node *loss = build(g, model, batch);
    enum status status = trainer_create(&step->trainer, model->backend, g, &options, err);
    if (status == STATUS_OK) status = params_load(model->params, g, model->checkpoint, err);
    if (status == STATUS_OK) status = trainer_adopt(step->trainer, g, err);
    if (status != STATUS_OK) return status;
    trainer_bind(step->trainer, g);
    trainer_differentiate(step->trainer, g, loss, 1);
    status = trainer_publish(step->trainer, err);
    if (status == STATUS_OK) status = exec_create(&step->exec, g, model->backend, 0, err);
    return status == STATUS_OK ? bench_write_inputs(step->exec, g, err) : status;
}

static enum status run_step(void *context, struct error *err)
{
    struct training_step *step = context;
    float norm;
    enum status status = exec_run(step->exec, err);
    if (status == STATUS_OK) status = trainer_collect(step->trainer, step->exec, 1, err);
    return status == STATUS_OK ? trainer_step(step->trainer, 0, &norm, err) : status;
}

static enum status measure_step(const struct bench *bench, struct limn_model *model, struct error *err)
{
    struct training_step step = {0};
    const struct bench_work work = {
        .backend = model->backend, .run = run_step, .context = &step, .rounds = USUAL_ROUNDS};
    enum status status = open_step(&step, bench, model, err);
    if (status == STATUS_OK) status = bench_measure(bench, &work, err);
    exec_destroy(step.exec);
    trainer_destroy(step.trainer);
    graph_clear(&step.graph);
    return status;
}

enum status bench_train_unet(const struct bench *bench, struct error *err)
{
    struct limn_model *model = NULL;
    enum status status = bench_open_model(&model, bench, err);
    if (status == STATUS_OK && model->gan)
        status = fail(err, STATUS_ARGUMENT, "%s: is a GAN and has no U-Net to train", model->path);
    if (status == STATUS_OK && model->backend->compute == DTYPE_F16)
        status = fail(err, STATUS_ARGUMENT, "compute f16: a training step takes f32, or bf16 on the CPU");
    if (status == STATUS_OK) status = measure_step(bench, model, err);
    limn_model_close(model);
    return status;
}
