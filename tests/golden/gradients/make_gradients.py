#!/usr/bin/env python3
"""Make the golden files beside this script: gradients, optimiser traces and short trainings of PyTorch.

    /usr/bin/python3 make_gradients.py        (Debian 12's python3-torch 1.13, python3-numpy; 20 seconds)

Everything is computed in f64, from f32 values, and stored as f32.  4-D tensors are stored with their channels
last, as limn has them: pictures NHWC, weights of convolutions [a, kh, kw, b].  What can be made by the weight rule
(../rule.py) is not stored: initial weights, pictures, noise.
"""

import json
import math
import os
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.dont_write_bytecode = True
import rule  # noqa: E402

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def channels_last(t):
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def save(name, tensors):
    """A safetensors file: u64 length of the header, the header in JSON, the data."""
    header, data = {}, b""
    for key, t in tensors.items():
        t = torch.as_tensor(t).detach()
        whole = not t.is_floating_point()
        raw = channels_last(t).contiguous().numpy().astype("<i4" if whole else "<f4")
        header[key] = {"dtype": "I32" if whole else "F32", "shape": list(raw.shape),
                       "data_offsets": [len(data), len(data) + raw.nbytes]}
        data += raw.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def ruled(name, *shape):
    return torch.from_numpy(rule.weight(name, shape)).double()


def set_by_rule(module):
    for name, p in module.named_parameters():
        p.data = ruled(name, *p.shape)


# ---------------------------------------------------------------- one operation at a time

def attention(q, k, v, heads, causal=False):
    def split(x):
        return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def geglu(x):
    a, b = x.chunk(2, -1)
    return a * F.gelu(b)


OPS = {   # name: (function, shapes of its operands)
    "linear": (F.linear, [(2, 3, 5), (7, 5), (7,)]),
    "matmul": (torch.matmul, [(2, 3, 5), (2, 5, 7)]),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 3, 7, 5), (5, 3, 3, 3), (5,)]),
    "conv2d_stride": (lambda x, w: F.conv2d(F.pad(x, (0, 1, 0, 1)), w, stride=2), [(1, 3, 7, 6), (5, 3, 3, 3)]),
    "conv2d_transpose": (lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1),
                         [(2, 3, 3, 5), (3, 5, 4, 4), (5,)]),
    "conv2d_transpose_added": (lambda x, w: F.conv_transpose2d(x, w, stride=3, padding=1, output_padding=2),
                               [(1, 3, 3, 2), (3, 2, 4, 4)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 3, w, b, 1e-5), [(2, 6, 3, 5), (6,), (6,)]),
    "group_norm_silu": (lambda x, w, b: F.silu(F.group_norm(x, 2, w, b, 1e-5)), [(2, 6, 3, 5), (6,), (6,)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (7,), w, b, 1e-5), [(2, 3, 7), (7,), (7,)]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-5), [(3, 5, 2, 3), (5,), (5,)]),
    "silu": (F.silu, [(3, 7)]),
    "gelu": (F.gelu, [(3, 7)]),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), [(3, 7)]),
    "quick_gelu": (lambda x: x * torch.sigmoid(1.702 * x), [(3, 7)]),
    "relu": (F.relu, [(3, 7)]),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), [(3, 7)]),
    "tanh": (torch.tanh, [(3, 7)]),
    "sigmoid": (torch.sigmoid, [(3, 7)]),
    "exp": (torch.exp, [(3, 7)]),
    "softplus": (F.softplus, [(3, 7)]),
    "add": (torch.add, [(2, 3, 5), (2, 1, 5)]),
    "mul": (torch.mul, [(2, 3, 5), (1, 3, 1)]),
    "div": (lambda a, b: a / (2 + b.tanh()), [(2, 3, 5), (2, 3, 1)]),
    "geglu": (geglu, [(2, 3, 10)]),
    "softmax": (lambda x: x.softmax(-1), [(2, 3, 5)]),
    "self_attention": (lambda q, k, v: attention(q, k, v, 2), [(2, 5, 6), (2, 5, 6), (2, 5, 6)]),
    "cross_attention": (lambda q, k, v: attention(q, k, v, 3), [(2, 5, 6), (2, 3, 6), (2, 3, 6)]),
    "causal_attention": (lambda q, k, v: attention(q, k, v, 1, True), [(1, 5, 3), (1, 5, 3), (1, 5, 3)]),
    "embedding": (lambda t: F.embedding(torch.tensor([[1, 4, 1], [0, 1, 6]]), t), [(7, 5)]),
    "upsample": (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), [(2, 3, 3, 5)]),
    "average_pool": (lambda x: F.avg_pool2d(x, 3, 2), [(2, 3, 8, 5)]),
    "max": (lambda x: x.amax((1, 2), keepdim=True), [(3, 5, 2)]),
    "mean": (lambda x: x.mean(1, keepdim=True), [(3, 5, 2)]),
}


def make_ops():
    out = {}
    generator = torch.Generator().manual_seed(5)

    def draw(shape):
        return torch.randn(shape, generator=generator).float().double()
    for name, (function, shapes) in OPS.items():
        operands = [draw(s).requires_grad_() for s in shapes]
        y = function(*operands)
        dy = draw(y.shape)
        gradients = torch.autograd.grad((y * dy).sum(), operands)
        out[name + ".dy"] = dy
        for i, (x, d) in enumerate(zip(operands, gradients)):
            out[f"{name}.in{i}"], out[f"{name}.d{i}"] = x, d
    save("ops.safetensors", out)


# ---------------------------------------------------------------- a small denoiser

class Res(nn.Module):
    def __init__(self, cin, cout, emb):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(4, cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.emb = nn.Linear(emb, cout)
        self.norm2, self.conv2 = nn.GroupNorm(4, cout), nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1)

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x))) + self.emb(F.silu(emb))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attend(nn.Module):
    def __init__(self, c, source):
        super().__init__()
        self.q, self.k = nn.Linear(c, c, bias=False), nn.Linear(source, c, bias=False)
        self.v, self.out = nn.Linear(source, c, bias=False), nn.Linear(c, c)

    def forward(self, x, source):
        return self.out(attention(self.q(x), self.k(source), self.v(source), 2))


class Transformer(nn.Module):
    def __init__(self, c, source):
        super().__init__()
        self.norm, self.inward = nn.GroupNorm(4, c, eps=1e-6), nn.Linear(c, c)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(c), nn.LayerNorm(c), nn.LayerNorm(c)
        self.self_, self.cross = Attend(c, c), Attend(c, source)
        self.up, self.down = nn.Linear(c, 8 * c), nn.Linear(4 * c, c)
        self.outward = nn.Linear(c, c)

    def forward(self, x, context):
        b, c, h, w = x.shape
        t = self.inward(self.norm(x).permute(0, 2, 3, 1).reshape(b, h * w, c))
        n = self.norm1(t)
        t = self.self_(n, n) + t
        t = self.cross(self.norm2(t), context) + t
        t = self.down(geglu(self.up(self.norm3(t)))) + t
        return self.outward(t).view(b, h, w, c).permute(0, 3, 1, 2) + x


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.res = nn.Conv2d(3, 8, 3, padding=1), Res(8, 12, 10)
        self.attend, self.down = Transformer(12, 6), nn.Conv2d(12, 12, 3, stride=2, padding=1)
        self.res2, self.last = Res(12, 8, 10), nn.Conv2d(20, 3, 3, padding=1)

    def forward(self, x, emb, context):
        h = self.attend(self.res(self.first(x), emb), context)
        up = F.interpolate(self.res2(self.down(h), emb), scale_factor=2, mode="nearest")
        return self.last(torch.cat([up, h], 1))


def batch(step):
    """Noise, time embedding, context and target of a step, all made up."""
    return (ruled(f"x.{step}", 2, 3, 6, 6), ruled(f"emb.{step}", 2, 10), ruled(f"context.{step}", 2, 5, 6),
            ruled(f"noise.{step}", 2, 3, 6, 6))


def make_denoiser():
    out, net = {}, Denoiser()
    set_by_rule(net)
    x, emb, context, noise = batch(0)
    x.requires_grad_()
    context.requires_grad_()
    loss = F.mse_loss(net(x, emb, context), noise)
    loss.backward()
    out["loss"], out["d x"], out["d context"] = loss.view(1), x.grad, context.grad
    for name, p in net.named_parameters():
        out["d " + name] = p.grad.clone()
        p.grad = None
    decays = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() == 1]
    optimiser = torch.optim.AdamW([{"params": decays}, {"params": rest, "weight_decay": 0.0}], lr=1,
                                  betas=(0.9, 0.99), eps=1e-8, weight_decay=0.02)
    losses, norms = [], []
    for step in range(20):
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        optimiser.zero_grad()
        total = 0.0
        for part in range(2):   # two batches a step
            x, emb, context, noise = batch(2 * step + part)
            loss = F.mse_loss(net(x, emb, context), noise) / 2
            loss.backward()
            total += loss.item()
        losses.append(total)
        norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.5).item())
        optimiser.step()
    out["losses"], out["norms"] = torch.tensor(losses), torch.tensor(norms)
    for name in ("first.weight", "res.emb.bias", "attend.self_.q.weight", "last.weight"):
        out["after " + name] = dict(net.named_parameters())[name]
    save("denoiser.safetensors", out)


def rate(step):
    """Five steps of growth to 4e-3, then half a cosine down to 4e-4 at step 20."""
    if step < 5:
        return 4e-3 * (step + 1) / 5
    return 4e-4 + (4e-3 - 4e-4) * 0.5 * (1 + math.cos(math.pi * (step - 5) / 15))


# ---------------------------------------------------------------- DCGAN

def generator():
    return nn.Sequential(
        nn.ConvTranspose2d(8, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator():
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2),
        nn.Conv2d(16, 1, 4, 1, 0, bias=False))


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = generator(), discriminator()


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def make_dcgan():
    net = Both()
    set_by_rule(net)
    g, d = net.generator, net.discriminator
    for_g = torch.optim.Adam(g.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for_d = torch.optim.Adam(d.parameters(), lr=2e-3, betas=(0.5, 0.999))
    d_losses, g_losses, out = [], [], {}
    for step in range(20):
        real, z = ruled(f"real.{step}", 4, 3, 16, 16), ruled(f"z.{step}", 4, 8, 1, 1)
        for_d.zero_grad()
        loss = bce(d(real), 1.0) + bce(d(g(z).detach()), 0.0)
        loss.backward()
        for_d.step()
        d_losses.append(loss.item())
        for_g.zero_grad()
        loss = bce(d(g(z)), 1.0)
        loss.backward()
        if step == 0:
            out["d generator.0.weight"] = g[0].weight.grad.clone()
            out["d generator.1.weight"] = g[1].weight.grad.clone()
        for_g.step()
        g_losses.append(loss.item())
        if step == 0:
            out.update({"first " + n: p.clone() for n, p in net.named_parameters()})
            # The second batch of the generator's norm is the same one, so its statistics moved twice.
            out["first mean"], out["first variance"] = g[1].running_mean.clone(), g[1].running_var.clone()
    out["d losses"], out["g losses"] = torch.tensor(d_losses), torch.tensor(g_losses)
    out["after generator.6.weight"] = g[6].weight
    out["after discriminator.0.weight"] = d[0].weight
    save("dcgan.safetensors", out)


# ---------------------------------------------------------------- WGAN-GP

class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 4, 2, 1), nn.Conv2d(6, 8, 3, padding=1)
        self.norm, self.out = nn.GroupNorm(2, 8), nn.Linear(8, 1)

    def forward(self, x):
        h = F.leaky_relu(self.conv1(x), 0.2)
        return self.out(F.silu(self.norm(self.conv2(h))).mean((2, 3)))


def make_penalty():
    net = Critic()
    set_by_rule(net)
    x = ruled("pictures", 3, 3, 8, 8).requires_grad_()
    slope, = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    penalty = ((slope.flatten(1).norm(2, 1) - 1) ** 2).mean()
    penalty.backward()
    out = {"penalty": penalty.view(1)}
    for name, p in net.named_parameters():
        out["d " + name] = torch.zeros_like(p) if p.grad is None else p.grad
    save("penalty.safetensors", out)


# ---------------------------------------------------------------- optimisers

def make_optimisers():
    out = {}
    kinds = {
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.999), weight_decay=0.05),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "plain": lambda p: torch.optim.SGD(p, lr=0.1),
    }
    for name, make in kinds.items():
        w, b = ruled("w", 9, 7).requires_grad_(), ruled("b", 5).requires_grad_()
        optimiser = make([w, b])
        average = w.detach().clone()
        for step in range(5):
            w.grad, b.grad = ruled(f"dw.{step}", 9, 7), ruled(f"db.{step}", 5)
            out[f"{name}.{step}.norm"] = nn.utils.clip_grad_norm_([w, b], 2.5).view(1)
            optimiser.step()
            average = 0.9 * average + 0.1 * w.detach()
            out[f"{name}.{step}.w"], out[f"{name}.{step}.b"] = w.detach().clone(), b.detach().clone()
        out[f"{name}.average"] = average
    make_muon(out)
    save("optimisers.safetensors", out)


def newton_schulz(g):
    """As Keller Jordan's post has it, https://kellerjordan.github.io/posts/muon, in the matrices' own precision."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    if g.shape[0] > g.shape[1]:
        x = x.T
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def make_muon(out):
    """A tall matrix, a convolution's weight [4, 3, 2, 2], a vector and a table, the last two by AdamW."""
    w, k = ruled("w", 9, 7), ruled("k", 4, 3, 2, 2)
    b, table = ruled("b", 5).requires_grad_(), ruled("table", 6, 2).requires_grad_()
    adamw = torch.optim.AdamW([{"params": [b], "weight_decay": 0.}, {"params": [table]}], lr=0.01, betas=(0.9, 0.95),
                              eps=1e-6, weight_decay=0.1)
    momentum = [torch.zeros_like(w), torch.zeros_like(k)]
    for step in range(5):
        b.grad, table.grad = ruled(f"db.{step}", 5), ruled(f"dtable.{step}", 6, 2)
        gradients = [ruled(f"dw.{step}", 9, 7), ruled(f"dk.{step}", 4, 3, 2, 2)]
        out[f"muon.{step}.norm"] = torch.stack([x.norm() for x in (b.grad, table.grad, *gradients)]).norm().view(1)
        nn.utils.clip_grad_norm_([b, table], 1.0)
        adamw.step()
        for p, m, g in zip((w, k), momentum, gradients):
            m.lerp_(g, 0.05)
            x = newton_schulz(g.lerp(m, 0.95).reshape(len(p), -1))
            x = x * max(1., x.shape[0] / x.shape[1]) ** 0.5
            p.mul_(1 - 0.2 * 0.1).add_(x.view_as(p), alpha=-0.2)
        out[f"muon.{step}.w"], out[f"muon.{step}.k"] = w.clone(), k.clone()
        out[f"muon.{step}.b"], out[f"muon.{step}.table"] = b.detach().clone(), table.detach().clone()


if __name__ == "__main__":
    make_ops()
    make_denoiser()
    make_dcgan()
    make_penalty()
    make_optimisers()
