#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Losses of both players and their gradients, by PyTorch: losses.safetensors.

    /usr/bin/python3 make_losses.py        needs torch (1.13) and numpy; a few seconds

Everything is computed in f64 and stored as f32.  Weights, pictures, latents and texts follow from their names by the
weight rule (../README.md); pictures are [B, C, H, W] there.  For each case of CASES: `CASE.d` and `CASE.g`, the losses,
and `CASE.d NAME`, `CASE.g NAME`, gradients of parameters with channels last.  `dcgan.d` and `dcgan.g` are not here: see
../gradients.
"""
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'gradients'))
sys.dont_write_bytecode = True
import make_gradients  # noqa: E402  (its save, ruled and set_by_rule)

make_gradients.HERE = HERE
ruled = make_gradients.ruled
torch.set_default_dtype(torch.float64)

B, TEXT, LATENT, FEATURES = 4, 6, 8, 128
CASES = {
    'bce': dict(real=0.9),
    'mismatch': dict(text=True, mismatch=True),
    'hinge': dict(loss='hinge', text=True),
    'r1': dict(r1=3.0),
    'noise': dict(noise=True),
    'wgan-gp': dict(loss='wgan-gp', norm=False, text=True),
}


class Networks(nn.Module):
    def __init__(self, text=False, norm=True):
        super().__init__()
        features = FEATURES if text else 0
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(LATENT + features, 16, 4, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh())
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
            nn.Conv2d(8, 16, 4, 2, 1, bias=not norm), nn.BatchNorm2d(16) if norm else nn.Identity(), nn.LeakyReLU(0.2),
            nn.Conv2d(16, 1, 4, bias=False))
        if text:
            self.generator.add_module('text', nn.Linear(TEXT, features))
            self.discriminator.add_module('text', nn.Linear(TEXT, 16, bias=False))
        self.text = text

    def g(self, z, text):
        if self.text:
            z = torch.cat([z, F.leaky_relu(self.generator.text(text), 0.2)[:, :, None, None]], 1)
        return self.generator[:8](z)

    def d(self, x, text):
        h = self.discriminator[:5](x)
        y = self.discriminator[5](h).view(B)
        if not self.text:
            return y
        return y + (self.discriminator.text(text) * h.mean((2, 3))).sum(1) / TEXT ** 0.5


def judge(scores, real, loss, target):
    if loss == 'hinge':
        return F.relu(1 - scores if real else 1 + scores).mean()
    if loss == 'wgan-gp':
        return (-scores if real else scores).mean()
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target if real else 0.0))


def run(loss='bce', real=1.0, text=False, mismatch=False, r1=0.0, noise=False, norm=True):
    net = Networks(text, norm)
    make_gradients.set_by_rule(net)
    z, x = ruled('z', B, LATENT, 1, 1), ruled('pictures', B, 3, 16, 16)
    t, wrong = ruled('text', B, TEXT), ruled('wrong', B, TEXT)
    n, m = (ruled('noise', B, 3, 16, 16), ruled('made noise', B, 3, 16, 16)) if noise else (0, 0)
    made = net.g(z, t).detach() + m
    seen = (x + n).requires_grad_()
    scores = net.d(seen, t)
    wrongs = judge(net.d(made, t), False, loss, real)
    if mismatch:
        wrongs = (wrongs + judge(net.d(seen, wrong), False, loss, real)) / 2
    d = judge(scores, True, loss, real) + wrongs
    if loss == 'wgan-gp':
        mix = (ruled('mix', B, 1, 1, 1) + 1) / 2
        between = (made + (x - made) * mix).requires_grad_()
        slope, = torch.autograd.grad(net.d(between, t).sum(), between, create_graph=True)
        d = d + 10 * ((slope.flatten(1).norm(2, 1) - 1) ** 2).mean()
    if r1:
        slope, = torch.autograd.grad(scores.sum(), seen, create_graph=True)
        d = d + r1 / 2 * (slope ** 2).sum((1, 2, 3)).mean()
    scores = net.d(net.g(z, t) + n, t)
    g = -scores.mean() if loss != 'bce' else judge(scores, True, loss, 1.0)
    out = {'d': d.view(1), 'g': g.view(1)}
    for which, value, module in (('d', d, net.discriminator), ('g', g, net.generator)):
        names = [name for name, _ in module.named_parameters()]
        prefix = 'discriminator.' if which == 'd' else 'generator.'
        for name, slope in zip(names, torch.autograd.grad(value, list(module.parameters()), retain_graph=True)):
            if slope.dim() != 4 or slope.numel() < 600 or name.startswith('5') or name.startswith('6'):
                out[f'{which} {prefix}{name}'] = slope
    return out


tensors = {}
for case, settings in CASES.items():
    tensors.update({f'{case}.{k}': v for k, v in run(**settings).items()})
make_gradients.save('losses.safetensors', tensors)
