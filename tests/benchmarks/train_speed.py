#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How fast limn trains beside PyTorch: python3 train_speed.py LIMN DATA [KIND ...] [--rounds N] [--threads N]

LIMN is the program, DATA a folder of 64-pixel pictures with captions (samples/emoji/build_data.py makes one). For each
kind (unet, vae, text, gan, clip) both train the same network with the same batch in 32 bits, on so many threads,
taking turns. Printed are medians over the steps of all rounds: pictures a second, processor time of a step, and limn's
advantage in each. Where other programs share the machine, processor time is the fairer one.

A step is everything: the data, forward and backward pass, clipping, the optimiser, the running average. PyTorch should
be run with OMP_WAIT_POLICY=PASSIVE where there are other programs.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import torch_nets as N  # noqa: E402

WARM, STEPS = 2, 6
UNET = dict(channels=48, multipliers=[1, 2, 4], attention=[1, 2], blocks=1, head_channels=32, groups=8)
TEXT = dict(width=128, heads=2, layers=2, length=32, merges=600)
# kind: family, configuration, batch
KINDS = {
    "unet": ("diffusion", dict(unet=UNET, text=dict(TEXT, warm_up=0)), 32),
    "text": ("diffusion", dict(unet=UNET, text=dict(TEXT, warm_up=1000)), 32),
    "vae": ("vae", dict(vae=dict(channels=16, multipliers=[1, 2, 4], blocks=1, latent=4, groups=8)), 16),
    "gan": ("gan", dict(gan=dict(latent=100, width=64)), 64),
    "clip": ("clip", dict(image=dict(patch=8, width=192, layers=3, heads=3, projection=128, shift=0, scale=0,
                                     brightness=0, colour=0),
                          text=dict(width=192, layers=2, heads=3, length=32, merges=1000)), 64),
}


# ---------------------------------------------------------------- limn

def limn(args, kind, steps, folder):
    """Seconds of each step by its own records, and processor seconds of the whole run."""
    family, config, batch = KINDS[kind]
    config = dict(config, training=dict(steps=2000, log_every=1, sheet_every=0, save_every=1000000))
    path, out = os.path.join(folder, "config.json"), os.path.join(folder, "out.safetensors")
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    with open(path, "w") as f:
        json.dump(config, f)
    command = [args.limn, "train", family, "--data", args.data, "--config", path, "--out", out, "--size", "64",
               "--batch", str(batch), "--steps", str(1000 + steps if kind == "text" else steps), "--json",
               "--threads", str(args.threads), "--warm-up", "0"]
    if family == "diffusion":
        command += ["--vae", args.vae]
    p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    seconds = []
    for line in p.stdout:
        event = json.loads(line)
        if event["event"] == "step":
            seconds.append(batch / event["images_per_second"])
            if len(seconds) == steps and kind == "text":
                break               # before the U-Net's turn
    if len(seconds) == steps and kind == "text":
        p.kill()
    _, status, usage = os.wait4(p.pid, 0)
    if status and kind != "text":
        sys.exit("limn failed: " + " ".join(command))
    return seconds[WARM:], usage.ru_utime + usage.ru_stime


# ---------------------------------------------------------------- PyTorch

def muon_step(named, others):
    matrices = [p for n, p in named if p.ndim > 1 and not any(x in n for x in others)]
    ids = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in ids]
    adam = torch.optim.AdamW(rest, lr=1e-4, betas=(.9, .99), weight_decay=.01, fused=True)
    momentum = [torch.zeros_like(p) for p in matrices]

    @torch.no_grad()
    def step():
        nn.utils.clip_grad_norm_(rest, 1.)
        adam.step()
        torch._foreach_lerp_(momentum, [p.grad for p in matrices], .05)
        torch._foreach_mul_(matrices, 1 - 2e-5)
        for p, m in zip(matrices, momentum):
            x = N.orthogonal(p.grad.lerp(m, .95).reshape(len(p), -1))
            p.add_((x * max(1., x.shape[0] / x.shape[1]) ** .5).view_as(p), alpha=-2e-3)
    return step


def adam_step(params, decay, clip, kind=torch.optim.AdamW):
    adam = kind(params, lr=1e-4, weight_decay=decay, fused=True)

    def step():
        if clip:
            nn.utils.clip_grad_norm_(params, 1.)
        adam.step()
    return step


class Average:
    def __init__(self, params):
        self.params, self.kept = params, [p.detach().clone() for p in params]

    @torch.no_grad()
    def __call__(self):
        torch._foreach_lerp_(self.kept, self.params, .001)


def diffusion_stepper(kind, batch):
    text, unet = N.TextTower(1114, 128, 2, 2, 32), N.UNet(4, 48, [1, 2, 4], 1, 32, 8, 128, [1, 2])
    head = nn.Linear(128, 64)
    nets = [text, unet] if kind == "unet" else [text, head]
    named = [(n, p) for net in nets for n, p in net.named_parameters()]
    update = muon_step(named, ["embedding", "out.", "input_blocks.0."] if kind == "unet" else ["embedding"])
    params = [p for _, p in named]
    average = Average(params)
    x, v, patches = torch.rand(batch, 4, 16, 16), torch.rand(batch, 4, 16, 16), torch.rand(batch, 16, 64)
    ids, t = torch.randint(1114, (batch, 32)), torch.randint(1000, (batch,))

    def step():
        loss = F.mse_loss(unet(x, t, text(ids)), v) if kind == "unet" else F.mse_loss(head(text(ids)[:, -16:]), patches)
        for p in params:
            p.grad = None
        loss.backward()
        update()
        average()
    return step


def vae_stepper(batch):
    vae = N.Autoencoder(16, [1, 2, 4], 1, 4, 8)
    params = list(vae.parameters())
    update, average, x = adam_step(params, 1e-4, True), Average(params), torch.rand(batch, 3, 64, 64)

    def edges(d):
        return (d[..., :, 1:] - d[..., :, :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()

    def step():
        mean, logvar = vae.encode(x)
        logvar = logvar.clamp(-12, 6)
        diff = vae.decode(mean + torch.randn_like(mean) * (logvar * .5).exp()) - x
        kl = .5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = (diff.abs().mean() + 2 * diff.square().mean() + .5 * (edges(diff) + edges(F.avg_pool2d(diff, 2)))
                + 5e-4 * kl)
        for p in params:
            p.grad = None
        loss.backward()
        update()
        average()
    return step


def gan_stepper(batch):
    g, d = N.generator(100, 64), N.discriminator(64)
    gp, dp = list(g.parameters()), list(d.parameters())
    move_g, move_d = adam_step(gp, 0, False, torch.optim.Adam), adam_step(dp, 0, False, torch.optim.Adam)
    average_g, average_d, real = Average(gp), Average(dp), torch.rand(batch, 3, 64, 64) * 2 - 1
    one, zero = torch.ones(batch), torch.zeros(batch)

    def step():
        made = g(torch.randn(batch, 100, 1, 1))
        loss = (F.binary_cross_entropy_with_logits(d(real).view(-1), one)
                + F.binary_cross_entropy_with_logits(d(made.detach()).view(-1), zero))
        for p in dp:
            p.grad = None
        loss.backward()
        move_d()
        average_d()
        loss = F.binary_cross_entropy_with_logits(d(made).view(-1), one)
        for p in gp:
            p.grad = None
        loss.backward(inputs=gp)
        move_g()
        average_g()
    return step


def clip_stepper(batch):
    pair = N.Pair(64, 8, 192, 3, 3, 1500, 32, 2, 128)
    params = list(pair.parameters())
    update, pictures, ids = adam_step(params, .1, True), torch.rand(batch, 3, 64, 64), torch.randint(1500, (batch, 32))
    ends, place = torch.full((batch,), 8), torch.arange(batch)

    def step():
        logits = pair(pictures, ids, ends)
        loss = (F.cross_entropy(logits, place) + F.cross_entropy(logits.T, place)) / 2
        for p in params:
            p.grad = None
        loss.backward()
        update()
    return step


def torch_stepper(kind):
    batch = KINDS[kind][2]
    if kind in ("unet", "text"):
        return diffusion_stepper(kind, batch)
    return dict(vae=vae_stepper, gan=gan_stepper, clip=clip_stepper)[kind](batch)


# ---------------------------------------------------------------- both

def compare(args, kind):
    batch, step = KINDS[kind][2], torch_stepper(kind)
    ours, theirs, our_cpu, their_cpu = [], [], [], []
    for _ in range(WARM):
        step()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            _, start = limn(args, kind, WARM, folder)
            seconds, whole = limn(args, kind, WARM + STEPS, folder)
            ours += seconds
            our_cpu.append((whole - start) / STEPS)
            begin = time.process_time()
            for _ in range(STEPS):
                at = time.perf_counter()
                step()
                theirs.append(time.perf_counter() - at)
            their_cpu.append((time.process_time() - begin) / STEPS)
    a, b, c, d = (statistics.median(x) for x in (ours, theirs, our_cpu, their_cpu))
    print(f"| {kind} | {batch} | {batch / a:.1f} | {batch / b:.1f} | {b / a:.2f} | {c:.3f} | {d:.3f} | {d / c:.2f} |",
          flush=True)


def make_vae(args, folder):
    """One step of training: what its latents look like does not matter here."""
    path, config = os.path.join(folder, "vae.safetensors"), os.path.join(folder, "vae.json")
    with open(config, "w") as f:
        json.dump(KINDS["vae"][1], f)
    subprocess.run([args.limn, "train", "vae", "--data", args.data, "--config", config, "--out", path, "--size", "64",
                    "--steps", "1", "--warm-up", "0", "--quiet"], check=True)
    return path


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("limn")
    p.add_argument("data")
    p.add_argument("kinds", nargs="*", metavar="KIND")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    print(f"PyTorch {torch.__version__}, {args.threads} threads")
    print("| network | batch | limn, pictures/s | PyTorch | limn / PyTorch | limn, CPU s/step | PyTorch | advantage |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        args.vae = make_vae(args, folder)
        for kind in args.kinds or KINDS:
            compare(args, kind)


if __name__ == "__main__":
    main()
