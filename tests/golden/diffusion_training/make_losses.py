#!/usr/bin/env python3
"""Make losses.safetensors beside this script: how a tiny diffusion model's losses fall; see README.md.

    python3 make_losses.py
"""

import math
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "clip_pair"))
sys.dont_write_bytecode = True
import kinds  # noqa: E402
import rng  # noqa: E402
import make  # noqa: E402
from train import TEXTS, picture  # noqa: E402

STEPS, BATCH, SEED, RATE, FLOOR, DROPOUT, SIDE, CHANNELS = 20, 4, 7, 1e-3, 1e-4, 0.25, 8, 8
FIRST, LAST = 0.5, 1.5      # powers of the times
ORDER, CAPTION, TIME, NOISE = 0, 1, 3, 4
MASK = (1 << 64) - 1


# ---------------------------------------------------------------- what limn draws (pipeline/training_draw.c)

def key(*words):
    k = 0
    for word in words:
        k = (k + word + 0x9E3779B97F4A7C15) & MASK
        k = ((k ^ k >> 30) * 0xBF58476D1CE4E5B9) & MASK
        k = ((k ^ k >> 27) * 0x94D049BB133111EB) & MASK
        k ^= k >> 31
    return k


class Stream:
    def __init__(self, purpose, step, item):
        self.philox = rng.Philox(key(key(SEED, purpose + 1, step), item, 0))

    def uniform(self):
        return float(self.philox.raw(1)[0][0]) * 2.0**-32

    def normal(self, n):
        return self.philox.randn(n)


def shuffled(k, count, i):
    half = 1
    while half < 31 and 1 << (2 * half) < count:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = i >> half, i & mask
        for n in range(4):
            left, right = right, left ^ (key(k, n, right) & mask)
        i = left << half | right
        if i < count:
            return i


def draw(step, item, latents, alphas):
    """Input, time, row of the text (-1: none) and target v of one item."""
    at = step * BATCH + item
    which = shuffled(key(SEED, ORDER + 1, at // len(latents)), len(latents), at % len(latents))
    way = min(max((step / STEPS - 0.3) / 0.4, 0), 1)
    u = (item + Stream(TIME, step, item).uniform()) / BATCH
    t = min(int(u ** (FIRST + way * (LAST - FIRST)) * 1000), 999)
    noise = torch.from_numpy(Stream(NOISE, step, item).normal(SIDE * SIDE * CHANNELS)).double()
    noise = noise.view(SIDE, SIDE, CHANNELS).permute(2, 0, 1)
    signal, sigma = math.sqrt(alphas[t]), math.sqrt(1 - alphas[t])
    text = -1 if Stream(CAPTION, step, item).uniform() < DROPOUT else which
    return signal * latents[which] + sigma * noise, t, text, signal * noise - sigma * latents[which]


# ---------------------------------------------------------------- PyTorch's part

def newton_schulz(g):
    """Keller Jordan, https://kellerjordan.github.io/posts/muon"""
    x = g / (g.norm() + 1e-7)
    if g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if g.shape[0] > g.shape[1] else x


class Muon:
    """Muon for the matrices of one network, AdamW for the rest, whose gradients alone are clipped."""

    def __init__(self, network, others):
        named = list(network.named_parameters())
        self.matrices = [p for n, p in named if p.ndim > 1 and not any(x in n for x in others)]
        ids = {id(p) for p in self.matrices}
        self.rest = [p for _, p in named if id(p) not in ids]
        self.adam = torch.optim.AdamW([dict(params=[p for p in self.rest if p.ndim > 1], weight_decay=0.01),
                                       dict(params=[p for p in self.rest if p.ndim == 1], weight_decay=0.)],
                                      betas=(0.9, 0.99))
        self.momentum = [torch.zeros_like(p) for p in self.matrices]

    def step(self, rate):
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        with torch.no_grad():
            for p, m in zip(self.matrices, self.momentum):
                m.lerp_(p.grad, 0.05)
                x = newton_schulz(p.grad.lerp(m, 0.95).reshape(len(p), -1))
                x = x * max(1., x.shape[0] / x.shape[1]) ** 0.5
                p.mul_(1 - 20 * rate * 0.01).add_(x.view_as(p), alpha=-20 * rate)
        for p in self.matrices + self.rest:
            p.grad = None


def alphas_cumprod():
    def f(x):
        return math.cos((x + .008) / 1.008 * math.pi / 2) ** 2
    return np.cumprod([1 - min(1 - f((t + 1) / 1000) / f(t / 1000), .999) for t in range(1000)])


def main():
    torch.set_default_dtype(torch.float64)
    text, unet, vae = (m.double() for m in (kinds.text("sd1"), kinds.unet("pack"), kinds.vae("pack")))
    for m in (text, unet):
        m.requires_grad_(True).eval()
    _, _, fast = make.tokens.hugging_face()
    ids = fast(TEXTS + [""], padding="max_length", max_length=77, return_tensors="np")["input_ids"]
    ids = torch.from_numpy(ids.astype(np.int64))
    pixels = torch.from_numpy(np.stack([picture(i) for i in range(len(TEXTS))])).permute(0, 3, 1, 2).double() / 127.5 - 1
    with torch.no_grad():
        latents = vae.quant_conv(vae.encoder(pixels)).chunk(2, 1)[0]
    alphas, losses = alphas_cumprod(), []
    optimisers = Muon(text, ["_embedding."]), Muon(unet, ["conv_in.", "conv_norm_out.", "conv_out."])
    for step in range(STEPS):
        x, t, rows, v = zip(*(draw(step, item, latents, alphas) for item in range(BATCH)))
        states = text(ids[list(rows)]).last_hidden_state
        out = unet(torch.stack(x), torch.tensor(t), states).sample
        loss = (out - torch.stack(v)).square().mean()
        losses.append(loss.item())
        loss.backward()
        rate = FLOOR + (RATE - FLOOR) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for o in optimisers:
            o.step(rate)
    print(losses)
    save_file({"losses": torch.tensor(losses, dtype=torch.float32)}, os.path.join(HERE, "losses.safetensors"))


if __name__ == "__main__":
    main()
