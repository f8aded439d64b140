#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tiny GANs as their usual PyTorch programs save them, and what PyTorch makes of them.

    python make_gan.py        needs torch (1.13), numpy and safetensors; a few seconds

Weights are random, and so are the norms' running statistics.  gan.safetensors holds, computed in f64 and stored as f32,
for a generator NAME.z [B,nz] and NAME.y, its pictures [B,H,W,C], of which every NAME.step-th row and column is kept; for
a discriminator NAME.x [B,S,S,C], every picture being zeros with this S x S corner in its upper left, and NAME.score [B],
before any sigmoid; for conditional networks NAME.text.  NAME.pixels
[2,H,W,3]: what is painted from seeds 5 and 123456789.
"""
import json
import os

import torch
import torch.nn as nn
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(7)
torch.set_num_threads(1)
out = {}


def randomise(net):
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(0, 0.3)
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.5, 2)
            m.num_batches_tracked.fill_(3)
        elif isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            m.weight.data.normal_(0, 1 / m.weight[0].numel() ** 0.5)
            if isinstance(m, nn.ConvTranspose2d):
                m.weight.data *= 1.5
            if m.bias is not None:
                m.bias.data.normal_(0, 0.2)
    net.eval()
    return net


def store(file, state):
    state = {k: v.contiguous() for k, v in state.items()}
    if file.endswith('.pth'):
        torch.save(state, os.path.join(HERE, file))
    else:
        save_file(state, os.path.join(HERE, file))


def paint(name, net, nz, call=None, text=None):
    net.double()
    z = torch.randn(2, nz, dtype=torch.float64).float()
    y = (call or (lambda v: net(v.view(2, nz, 1, 1))))(z.double())
    step = 1 if y.shape[2] <= 32 else y.shape[2] // 16 + 1
    out[name + '.z'], out[name + '.step'] = z, torch.tensor([step], dtype=torch.int32)
    out[name + '.y'] = y[:, :, ::step, ::step].permute(0, 2, 3, 1)
    net.float()


def score(name, net, side, channels, call=None):
    net.double()
    corner = min(side, 28)
    x = torch.zeros(2, channels, side, side, dtype=torch.float64)
    x[:, :, :corner, :corner] = torch.rand(2, channels, corner, corner).float() * 2 - 1
    out[name + '.x'] = x[:, :, :corner, :corner].permute(0, 2, 3, 1)
    out[name + '.score'] = (call or net)(x).reshape(2, -1).mean(1)
    net.float()


class Wrap(nn.Module):
    """A network under a name: Wrap('main', net) has parameters main.0.weight, ..."""

    def __init__(self, name, net):
        super().__init__()
        setattr(self, name, net)
        self.name = name

    def forward(self, x):
        return getattr(self, self.name)(x)


# ---- PyTorch's example: 4x4 kernels, no biases

def example_g(nz, width, doublings, channels):
    layers, now = [nn.ConvTranspose2d(nz, width << doublings - 1, 4, 1, 0, bias=False)], width << doublings - 1
    for i in range(doublings):
        layers += [nn.BatchNorm2d(now), nn.ReLU(True)]
        last = i == doublings - 1
        layers.append(nn.ConvTranspose2d(now, channels if last else now // 2, 4, 2, 1, bias=False))
        now //= 2
    return Wrap('main', nn.Sequential(*layers, nn.Tanh()))


def example_d(width, halvings, channels):
    layers, now = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], width
    for _ in range(halvings - 1):
        layers += [nn.Conv2d(now, now * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(now * 2), nn.LeakyReLU(0.2)]
        now *= 2
    return Wrap('main', nn.Sequential(*layers, nn.Conv2d(now, 1, 4, 1, 0, bias=False)))


for doublings, side in ((3, 32), (4, 64), (5, 128)):
    g, d = randomise(example_g(6, 1, doublings, 3)), randomise(example_d(1, doublings, 3))
    store(f'example-{side}.safetensors', g.state_dict())
    paint(f'example-{side}', g, 6)
    store(f'example-{side}-d.safetensors', d.state_dict())
    score(f'example-{side}-d', d, side, 3)

# ---- saved from nn.DataParallel, as .pth

g = randomise(example_g(5, 1, 3, 1))
store('parallel.pth', nn.DataParallel(g).state_dict())
paint('parallel', g, 5)

# ---- both networks in one file, in a dict of dicts, with an optimiser and a counter beside them

g, d = randomise(example_g(5, 1, 3, 3)), randomise(example_d(2, 3, 3))
torch.save({'epoch': 4, 'generator': g.state_dict(), 'discriminator': d.state_dict(),
            'optimizerG': torch.optim.Adam(g.parameters()).state_dict()}, os.path.join(HERE, 'both.pth'))
paint('both', g, 5)
score('both-d', d, 32, 3)

# ---- 28 pixels: kernels 3-4-3-4, strides 2-1-2-2, biases and norms


class Course(nn.Module):
    def __init__(self, nz, width):
        super().__init__()
        self.gen = nn.Sequential(self.block(nz, width * 4), self.block(width * 4, width * 2, 4, 1),
                                 self.block(width * 2, width),
                                 nn.Sequential(nn.ConvTranspose2d(width, 1, 4, 2), nn.Tanh()))

    @staticmethod
    def block(i, o, k=3, s=2):
        return nn.Sequential(nn.ConvTranspose2d(i, o, k, s), nn.BatchNorm2d(o), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.gen(x)


class CourseD(nn.Module):
    def __init__(self, width):
        super().__init__()
        block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 4, 2), nn.BatchNorm2d(o), nn.LeakyReLU(0.2))
        self.disc = nn.Sequential(block(1, width), block(width, width * 2), nn.Sequential(nn.Conv2d(width * 2, 1, 4, 2)))

    def forward(self, x):
        return self.disc(x)


g, d = randomise(Course(7, 2)), randomise(CourseD(3))
store('course.safetensors', g.state_dict())
paint('course', g, 7)
store('course-d.safetensors', d.state_dict())
score('course-d', d, 28, 1)

# ---- 28 pixels from a 7x7 first layer, no norms at all; 12 layers' names, so that 10 comes after 9

g = randomise(Wrap('network', nn.Sequential(
    nn.ConvTranspose2d(6, 4, 7, 1, 0), nn.ReLU(), nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity(),
    nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.ReLU(), nn.Identity(), nn.Identity(), nn.ConvTranspose2d(3, 1, 4, 2, 1),
    nn.Tanh())))
store('seven.safetensors', g.state_dict())
paint('seven', g, 6)
d = randomise(Wrap('network', nn.Sequential(
    nn.Conv2d(1, 3, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 7))))
store('seven-d.safetensors', d.state_dict())
score('seven-d', d, 28, 1)

# ---- 28 pixels, kernels 4-3-4-4, norms under names of their own


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.tconv1, self.bn1 = nn.ConvTranspose2d(6, 5, 4, 1, 0, bias=False), nn.BatchNorm2d(5)
        self.tconv2, self.bn2 = nn.ConvTranspose2d(5, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)
        self.tconv3, self.bn3 = nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.BatchNorm2d(3)
        self.tconv4 = nn.ConvTranspose2d(3, 1, 4, 2, 1, bias=False)

    def forward(self, x):
        for conv, norm in ((self.tconv1, self.bn1), (self.tconv2, self.bn2), (self.tconv3, self.bn3)):
            x = torch.relu(norm(conv(x)))
        return torch.tanh(self.tconv4(x))


g = randomise(Named())
store('named.safetensors', g.state_dict())
paint('named', g, 6)

# ---- an extra 3x3 layer that changes neither size nor channels

plain = nn.Sequential(nn.ConvTranspose2d(6, 4, 4, 1, 0, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                      nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                      nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
                      nn.ConvTranspose2d(3, 1, 4, 2, 1, bias=False), nn.Tanh())
g = randomise(Wrap('main', plain))
store('extra.safetensors', g.state_dict())
paint('extra', g, 6)

# ---- a linear layer and upsampling, parts named out of order, norm eps 0.8 and leaky ReLU: only a JSON file can tell


class Upsampling(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(6, 8 * 7 * 7))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(8), nn.Upsample(scale_factor=2), nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8, 0.8),
            nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, 1, 1), nn.BatchNorm2d(4, 0.8),
            nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3, 1, 1), nn.Tanh())

    def forward(self, z):
        return self.conv_blocks(self.l1(z).view(-1, 8, 7, 7))


g = randomise(Upsampling())
store('upsampling.safetensors', g.state_dict())
paint('upsampling', g, 6, lambda z: g(z))
with open(os.path.join(HERE, 'upsampling.json'), 'w') as f:
    json.dump({'stride': 1, 'padding': [0, 1, 1, 1], 'upsample': [1, 2, 2, 1], 'eps': [1e-5, 0.8, 0.8, 1e-5],
               'activation': ['none', 'leaky_relu', 'leaky_relu', 'tanh']}, f)
    f.write('\n')

# ---- 5x5 kernels with output padding behind linear layers and a norm over all features; a discriminator that ends in one


class Five(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4 * 7 * 7, bias=False), nn.BatchNorm1d(4 * 7 * 7), nn.ReLU(),
            nn.Unflatten(1, (4, 7, 7)), nn.ConvTranspose2d(4, 3, 5, 2, 2, 1), nn.BatchNorm2d(3), nn.ReLU(),
            nn.ConvTranspose2d(3, 3, 5, 2, 2, 1), nn.Sigmoid())

    def forward(self, z):
        return self.net(z)


g = randomise(Five())
store('five.safetensors', g.state_dict())
paint('five', g, 6, lambda z: g(z))
with open(os.path.join(HERE, 'five.json'), 'w') as f:
    json.dump({'generator': {'stride': [1, 1, 2, 2], 'padding': [0, 0, 2, 2], 'output_padding': [0, 0, 1, 1],
                             'output': 'sigmoid'}}, f)
    f.write('\n')
d = randomise(nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 5, 4, 2, 1), nn.BatchNorm2d(5),
                            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(5 * 8 * 8, 1)))
store('linear-d.safetensors', d.state_dict())
score('linear-d', d, 32, 3)

# ---- 5x5 kernels without a JSON file: refused with what to write

g = randomise(Wrap('main', nn.Sequential(
    nn.ConvTranspose2d(4, 4, 4, 1, 0), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 5, 2, 2, 1),
    nn.BatchNorm2d(2), nn.ReLU(), nn.ConvTranspose2d(2, 1, 5, 2, 2, 1), nn.Tanh())))
store('unknown.safetensors', g.state_dict())

# ---- limn's own conditional networks: text by concatenation (Reed et al. 2016) and projection (Miyato and Koyama 2018)


class ConditionalG(nn.Module):
    def __init__(self, nz, width, text):
        super().__init__()
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(nz + 5, width * 2, 7, bias=False), nn.BatchNorm2d(width * 2), nn.ReLU(),
            nn.ConvTranspose2d(width * 2, 3, 4, 2, 1, bias=False), nn.Tanh())
        self.generator.add_module('text', nn.Linear(text, 5))

    def forward(self, z, text):
        e = nn.functional.leaky_relu(self.generator.text(text), 0.2)
        return self.generator[:5](torch.cat([z, e], 1)[:, :, None, None])


class ConditionalD(nn.Module):
    def __init__(self, width, text):
        super().__init__()
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 7, bias=False))
        self.discriminator.add_module('text', nn.Linear(text, width, bias=False))

    def forward(self, x, text):
        features = self.discriminator[:2](x)
        product = (self.discriminator.text(text) * features.mean((2, 3))).sum(1) / text.shape[1] ** 0.5
        return self.discriminator[2](features).view(-1) + product


g, d = randomise(ConditionalG(4, 2, 9)), randomise(ConditionalD(3, 9))
text = torch.randn(2, 9)
out['conditional.text'] = text
save_file({**g.state_dict(), **d.state_dict()}, os.path.join(HERE, 'conditional.safetensors'), {'limn.gan': json.dumps({
    'generator': {'stride': [1, 2], 'padding': [0, 1]},
    'discriminator': {'stride': [2, 1], 'padding': [1, 0], 'size': 14}})})
paint('conditional', g, 4, lambda z: g(z, text.double()))
score('conditional-d', d, 14, 3, lambda x: d(x, text.double()))

# ---- what limn generate --rng mt19937 paints: pixels of two seeds, u8 as i32


def seeds(name, net, nz):
    pictures = []
    for seed in (5, 123456789):
        z = torch.randn(1, nz, 1, 1, generator=torch.Generator('cpu').manual_seed(seed))
        y = net.double()(z.double())
        pictures.append(torch.round(255 * (y / 2 + 0.5).clamp(0, 1)).int().expand(1, 3, -1, -1).permute(0, 2, 3, 1))
        net.float()
    out[name + '.pixels'] = torch.cat(pictures)


torch.manual_seed(8)
for name, nz, channels in (('seeds-grey', 7, 1), ('seeds', 100, 3)):
    g = randomise(example_g(nz, 1, 3, channels))
    store(name + '.safetensors', g.state_dict())
    seeds(name, g, nz)

# ---- a whole module: refused

torch.save(example_g(2, 1, 3, 1).main, os.path.join(HERE, 'module.pth'))

save_file({k: (v if v.dtype == torch.int32 else v.float()).detach().contiguous() for k, v in out.items()},
          os.path.join(HERE, 'gan.safetensors'))
