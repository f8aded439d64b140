# SPDX-License-Identifier: MIT
"""The networks that train_speed.py compares, in PyTorch: the same layers as limn's."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

GroupNorm = nn.GroupNorm


def attend(q, k, v, heads, causal=False):
    """Multi-head attention of (B,N,C) tensors."""
    b, n, c = q.shape
    q, k, v = (x.reshape(b, -1, heads, c // heads).transpose(1, 2) for x in (q, k, v))
    w = q @ k.transpose(-1, -2) / math.sqrt(c // heads)       # faster than the fused one for so few tokens
    if causal:
        w = w + torch.full((n, n), -1e4).triu(1)
    y = w.softmax(-1) @ v
    return y.transpose(1, 2).reshape(b, n, c)


class SelfAttention(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        y = attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, self.causal)
        return self.out_proj(y)


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))       # quick-GELU


class TextLayer(nn.Module):
    def __init__(self, width, heads, causal=True):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn, self.mlp = SelfAttention(width, heads, causal), MLP(width)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class TextModel(nn.Module):
    def __init__(self, vocabulary, width, heads, layers, length):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = nn.Embedding(vocabulary, width)
        self.embeddings.position_embedding = nn.Embedding(length, width)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(TextLayer(width, heads) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width)
        nn.init.normal_(self.embeddings.token_embedding.weight, std=.02)
        nn.init.normal_(self.embeddings.position_embedding.weight, std=.01)

    def forward(self, ids):
        x = self.embeddings.token_embedding(ids) + self.embeddings.position_embedding.weight
        for layer in self.encoder.layers:
            x = layer(x)
        return self.final_layer_norm(x)


class TextTower(nn.Module):
    """Last hidden states (B,length,width) of token ids (B,length)."""

    def __init__(self, vocabulary, width, heads, layers, length):
        super().__init__()
        self.text_model = TextModel(vocabulary, width, heads, layers, length)

    def forward(self, ids):
        return self.text_model(ids)


def zero(module):
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


class ResBlock(nn.Module):
    def __init__(self, cin, cout, emb, groups):
        super().__init__()
        self.in_layers = nn.Sequential(GroupNorm(groups, cin, eps=1e-5), nn.SiLU(),
                                       nn.Conv2d(cin, cout, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, cout))
        # index 2 of LDM's list is dropout
        self.out_layers = nn.Sequential(GroupNorm(groups, cout, eps=1e-5), nn.SiLU(), nn.Identity(),
                                        zero(nn.Conv2d(cout, cout, 3, padding=1)))
        self.skip_connection = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x, emb, context):
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class CrossAttention(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x, context):
        return self.to_out(attend(self.to_q(x), self.to_k(context), self.to_v(context), self.heads))


class GEGLU(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x):
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x):
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.attn1 = CrossAttention(width, width, heads)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, context, heads)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x, context):
        y = self.norm1(x)
        x = x + self.attn1(y, y)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, width, context, head_channels, groups):
        super().__init__()
        self.norm = GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context, width // head_channels)])
        self.proj_out = zero(nn.Conv2d(width, width, 1))

    def forward(self, x, emb, context):
        b, c, h, w = x.shape
        y = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(b, h * w, c)
        y = self.transformer_blocks[0](y, context)
        return x + self.proj_out(y.reshape(b, h, w, c).permute(0, 3, 1, 2))


class Conv(nn.Conv2d):
    def forward(self, x, emb=None, context=None):
        return super().forward(x)


class Downsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.op = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x, emb, context):
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x, emb, context):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """`attention` lists the levels that have spatial transformers."""

    def __init__(self, latent, channels, mult, blocks, head_channels, groups, context, attention):
        super().__init__()
        self.channels = channels
        emb = 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, emb), nn.SiLU(), nn.Linear(emb, emb))

        def block(cin, cout, level=None):
            layers = [ResBlock(cin, cout, emb, groups)]
            if level is None or level in attention:
                layers.append(SpatialTransformer(cout, context, head_channels, groups))
            return layers

        c, skips = channels, [channels]
        self.input_blocks = nn.ModuleList([nn.ModuleList([Conv(latent, c, 3, padding=1)])])
        for level, m in enumerate(mult):
            for _ in range(blocks):
                self.input_blocks.append(nn.ModuleList(block(c, m * channels, level)))
                c = m * channels
                skips.append(c)
            if level + 1 < len(mult):
                self.input_blocks.append(nn.ModuleList([Downsample(c)]))
                skips.append(c)
        self.middle_block = nn.ModuleList(block(c, c) + [ResBlock(c, c, emb, groups)])
        self.output_blocks = nn.ModuleList()
        for level, m in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                layers = block(c + skips.pop(), m * channels, level)
                c = m * channels
                if level and i == blocks:
                    layers.append(Upsample(c))
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(GroupNorm(groups, c, eps=1e-5), nn.SiLU(),
                                 zero(nn.Conv2d(c, latent, 3, padding=1)))
        half = channels // 2
        self.register_buffer("freqs", torch.exp(-math.log(10000) * torch.arange(half).float() / half),
                             persistent=False)

    def forward(self, x, t, context):
        """x (B,latent,H,W), t (B,) in 0..999, context (B,length,width)."""
        a = t.float()[:, None] * self.freqs[None]
        emb = self.time_embed(torch.cat([a.cos(), a.sin()], 1))
        skips = []
        for layers in self.input_blocks:
            for layer in layers:
                x = layer(x, emb, context)
            skips.append(x)
        for layer in self.middle_block:
            x = layer(x, emb, context)
        for layers in self.output_blocks:
            x = torch.cat([x, skips.pop()], 1)
            for layer in layers:
                x = layer(x, emb, context)
        return self.out(x)


class ResnetBlock(nn.Module):
    def __init__(self, cin, cout, groups):
        super().__init__()
        self.norm1, self.norm2 = GroupNorm(groups, cin, eps=1e-6), GroupNorm(groups, cout, eps=1e-6)
        self.conv1, self.conv2 = nn.Conv2d(cin, cout, 3, padding=1), nn.Conv2d(cout, cout, 3, padding=1)
        if cin != cout:
            self.nin_shortcut = nn.Conv2d(cin, cout, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class AttnBlock(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.norm = GroupNorm(groups, c, eps=1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        b, c, h, w = x.shape
        y = self.norm(x)
        q, k, v = (f(y).permute(0, 2, 3, 1).reshape(b, h * w, c) for f in (self.q, self.k, self.v))
        y = attend(q, k, v, 1).reshape(b, h, w, c).permute(0, 3, 1, 2)
        return x + self.proj_out(y)


class DownConv(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class UpConv(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Middle(nn.Module):
    def __init__(self, c, groups):
        super().__init__()
        self.block_1, self.block_2 = ResnetBlock(c, c, groups), ResnetBlock(c, c, groups)
        self.attn_1 = AttnBlock(c, groups)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, channels, mult, blocks, latent, groups):
        super().__init__()
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down, c = nn.ModuleList(), channels
        for level, m in enumerate(mult):
            d = nn.Module()
            d.block = nn.ModuleList()
            for _ in range(blocks):
                d.block.append(ResnetBlock(c, m * channels, groups))
                c = m * channels
            if level + 1 < len(mult):
                d.downsample = DownConv(c)
            self.down.append(d)
        self.mid = Middle(c, groups)
        self.norm_out = GroupNorm(groups, c, eps=1e-6)
        self.conv_out = nn.Conv2d(c, 2 * latent, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for d in self.down:
            for b in d.block:
                h = b(h)
            if hasattr(d, "downsample"):
                h = d.downsample(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    def __init__(self, channels, mult, blocks, latent, groups):
        super().__init__()
        c = channels * mult[-1]
        self.conv_in = nn.Conv2d(latent, c, 3, padding=1)
        self.mid = Middle(c, groups)
        ups = []
        for level, m in reversed(list(enumerate(mult))):
            u = nn.Module()
            u.block = nn.ModuleList()
            for _ in range(blocks + 1):
                u.block.append(ResnetBlock(c, m * channels, groups))
                c = m * channels
            if level:
                u.upsample = UpConv(c)
            ups.insert(0, u)
        self.up = nn.ModuleList(ups)                # up.0 is the finest level
        self.norm_out = GroupNorm(groups, c, eps=1e-6)
        self.conv_out = nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, z):
        h = self.mid(self.conv_in(z))
        for u in reversed(self.up):
            for b in u.block:
                h = b(h)
            if hasattr(u, "upsample"):
                h = u.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Autoencoder(nn.Module):
    def __init__(self, channels, mult, blocks, latent, groups):
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(channels, mult, blocks, latent, groups)
        self.decoder = Decoder(channels, mult, blocks, latent, groups)
        self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1)
        self.post_quant_conv = nn.Conv2d(latent, latent, 1)

    def encode(self, x):
        """Mean and log-variance of the latents of pictures in -1..1."""
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


class Pair(nn.Module):
    """CLIP: cosines of pictures and texts, times a learned scale."""

    def __init__(self, size, patch, width, layers, heads, vocabulary, length, text_layers, out):
        super().__init__()
        self.text = TextTower(vocabulary, width, heads, text_layers, length)
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.first = nn.Parameter(torch.randn(width) * .02)
        self.places = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width) * .02)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.layers = nn.ModuleList(TextLayer(width, heads, causal=False) for _ in range(layers))
        self.to_text, self.to_picture = (nn.Linear(width, out, bias=False) for _ in range(2))
        self.scale = nn.Parameter(torch.tensor(2.659))

    def forward(self, pictures, ids, ends):
        x = self.patches(pictures).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), 1, -1), x], 1) + self.places
        x = self.before(x)
        for layer in self.layers:
            x = layer(x)
        a = F.normalize(self.to_picture(self.after(x[:, 0])), dim=-1)
        b = F.normalize(self.to_text(self.text(ids)[torch.arange(len(ids)), ends]), dim=-1)
        return self.scale.exp() * a @ b.T


def generator(latent, width):
    """DCGAN at 64 pixels."""
    layers, c = [nn.ConvTranspose2d(latent, 8 * width, 4, bias=False), nn.BatchNorm2d(8 * width), nn.ReLU()], 8 * width
    for _ in range(3):
        layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(c // 2), nn.ReLU()]
        c //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(c, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(width):
    layers, c = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(.2)], width
    for _ in range(3):
        layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * c), nn.LeakyReLU(.2)]
        c *= 2
    return nn.Sequential(*layers, nn.Conv2d(c, 1, 4, bias=False))


def orthogonal(g, rounds=5):
    """Muon's Newton-Schulz rounds (Keller Jordan, https://kellerjordan.github.io/posts/muon), on the smaller Gram
    matrix as limn has them."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (x.norm() + 1e-7)
    eye, gram, total = torch.eye(len(x)), x @ x.T, None
    for n in range(rounds):
        p = a * eye + b * gram + c * (gram @ gram)
        total = p if total is None else p @ total
        if n + 1 < rounds:
            gram = p @ gram @ p
    x = total @ x
    return x.T if g.shape[0] > g.shape[1] else x
