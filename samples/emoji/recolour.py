# SPDX-License-Identifier: MIT
"""Recoloured copies of a picture: the same drawing in another plain colour.

Works on un-premultiplied RGBA in 0..1, torch tensors of shape (B,4,H,W), so
that the soft outer edges keep their true colour until they are laid on white.
"""
import torch

# name, Korean, hue in degrees, saturation and value aimed at
COLOURS = [
    ("red", "빨간", 0, .85, .88),
    ("orange", "주황", 28, .90, .97),
    ("yellow", "노란", 49, .82, .99),
    ("green", "초록", 125, .72, .68),
    ("blue", "파란", 214, .78, .88),
    ("purple", "보라", 276, .65, .75),
    ("pink", "분홍", 335, .45, .98),
    ("brown", "갈색", 22, .62, .52),
    ("black", "검은", 0, .06, .20),
    ("white", "하얀", 0, .03, .95),
    ("grey", "회색", 0, .03, .60),
]
NAMES = [c[0] for c in COLOURS]


def to_hsv(rgb):
    r, g, b = rgb.unbind(1)
    v, _ = rgb.max(1)
    d = v - rgb.min(1)[0]
    safe = d.clamp_min(1e-6)
    h = torch.where(v == r, ((g - b) / safe) % 6,
                    torch.where(v == g, (b - r) / safe + 2, (r - g) / safe + 4))
    return h * 60, d / v.clamp_min(1e-6), v


def to_rgb(h, s, v):
    """h in degrees."""
    def f(n):
        k = (n + h / 60) % 6
        return v - v * s * torch.minimum(k, 4 - k).clamp(0, 1)
    return torch.stack([f(5), f(3), f(1)], 1)


def circular(a):
    return ((a + 180) % 360 - 180).abs()


def survey(rgba):
    """What a picture is made of: dict of (B,) tensors.

    hue: the dominant hue; share: how much of the drawing is near it; sat, val:
    its mean saturation and value; plain: the share without colour, and plainval,
    the mean value of that share.
    """
    a = rgba[:, 3]
    h, s, v = to_hsv(rgba[:, :3])
    area = a.sum((1, 2)).clamp_min(1e-6)
    coloured = a * ((s > .18) & (v > .15)).float()
    w = coloured * s * v
    hist = torch.zeros(len(a), 36, device=a.device)
    hist.scatter_add_(1, (h / 10).long().clamp(0, 35).flatten(1), w.flatten(1))
    smooth = hist + hist.roll(1, 1) + hist.roll(-1, 1)
    peak = smooth.argmax(1).float() * 10 + 5
    # refine: weighted mean of the offsets around the peak
    off = (h - peak[:, None, None] + 180) % 360 - 180
    near = w * (off.abs() < 20).float()
    hue = peak + (near * off).sum((1, 2)) / near.sum((1, 2)).clamp_min(1e-6)
    mine = coloured * (circular(h - hue[:, None, None]) < 32).float()
    n = mine.sum((1, 2)).clamp_min(1e-6)
    grey = a * (s < .18).float()
    m = grey.sum((1, 2)).clamp_min(1e-6)
    return dict(hue=hue % 360, share=mine.sum((1, 2)) / area,
                sat=(mine * s).sum((1, 2)) / n, val=(mine * v).sum((1, 2)) / n,
                plain=grey.sum((1, 2)) / area, plainval=(grey * v).sum((1, 2)) / m)


def natural(hue, sat, val):
    """The colour word of a dominant colour, or None where it is unclear."""
    if sat < .2:
        return None
    if (hue < 46 and val < .72 and hue > 8) or (hue <= 8 and val < .45):
        return "brown"
    if (hue >= 320 or hue < 6) and sat < .55 and val > .75:
        return "pink"
    if val < .25 or (18 <= hue <= 40 and (sat < .78 or val < .85)):
        return None                     # too dark; or tan, the colour of bread
    for name, lo, hi in (("red", -15, 13), ("orange", 20, 38), ("yellow", 42, 60),
                         ("green", 75, 160), ("blue", 190, 238),
                         ("purple", 255, 295), ("pink", 318, 342)):
        if lo <= hue <= hi or lo <= hue - 360 <= hi:
            return name
    return None


def recolour(rgba, colour, tint):
    """rgba (B,4,H,W); colour (B,) index into COLOURS; tint (B,) bool: colour
    the grey parts (for drawings that have no colour of their own) instead of
    turning the dominant hue."""
    want = torch.tensor([c[2:] for c in COLOURS], device=rgba.device,
                        dtype=rgba.dtype)[colour.long()]
    hue, sat, val = [x[:, None, None] for x in want.unbind(1)]
    info = {k: x[:, None, None] for k, x in survey(rgba).items()}
    h, s, v = to_hsv(rgba[:, :3])
    # turning the dominant hue: full within 28 degrees, fading out by 50
    away = circular(h - info["hue"])
    w = ((50 - away) / 22).clamp(0, 1) * ((s - .08) / .12).clamp(0, 1)
    small = (h - info["hue"] + 180) % 360 - 180
    h1 = hue + small.clamp(-25, 25) * .4
    s1 = (s * sat / info["sat"].clamp_min(.05)).clamp(0, 1)
    gain = val / info["val"].clamp_min(.05)
    v1 = torch.where(gain < 1, v * gain, 1 - (1 - v) / gain.clamp_min(1) ** 1.5)
    v1 = torch.where(gain < 1, v1, torch.maximum(v1, v)).clamp(0, 1)
    turned = to_rgb(h1 % 360, s1, v1) * w[:, None] + rgba[:, :3] * (1 - w[:, None])
    # tinting the grey parts: light greys take the colour, black stays
    g = ((.30 - s) / .12).clamp(0, 1) * ((v - .25) / .2).clamp(0, 1)
    light = (v / info["plainval"].clamp_min(.3)).clamp(0, 1.25)
    v2 = (val * light).clamp(0, 1)
    tinted = to_rgb((hue + v * 0) % 360, (sat + v * 0) * (1.6 - .6 * light).clamp(0, 1), v2)
    tinted = tinted * g[:, None] + rgba[:, :3] * (1 - g[:, None])
    rgb = torch.where(tint[:, None, None, None], tinted, turned)
    return torch.cat([rgb.clamp(0, 1), rgba[:, 3:]], 1)


def on_white(rgba):
    """Lays RGBA on white: (B,3,H,W)."""
    a = rgba[:, 3:]
    return rgba[:, :3] * a + (1 - a)
