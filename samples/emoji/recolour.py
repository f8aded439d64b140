# SPDX-License-Identifier: MIT
"""Recoloured copies of a picture: the same drawing in another plain colour.

Works on un-premultiplied RGBA in 0..1, arrays of shape (B,4,H,W), so that the
soft outer edges keep their true colour until they are laid on white.
"""
import numpy as np

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


def least(x, low):
    return np.maximum(x, low)


def to_hsv(rgb):
    r, g, b = rgb[:, 0], rgb[:, 1], rgb[:, 2]
    v = rgb.max(1)
    d = v - rgb.min(1)
    safe = least(d, 1e-6)
    h = np.where(v == r, ((g - b) / safe) % 6, np.where(v == g, (b - r) / safe + 2, (r - g) / safe + 4))
    return h * 60, d / least(v, 1e-6), v


def to_rgb(h, s, v):
    """h in degrees."""
    def f(n):
        k = (n + h / 60) % 6
        return v - v * s * np.minimum(k, 4 - k).clip(0, 1)
    return np.stack([f(5), f(3), f(1)], 1)


def circular(a):
    return np.abs((a + 180) % 360 - 180)


def survey(rgba):
    """What a picture is made of: dict of (B,) arrays.

    hue: the dominant hue; share: how much of the drawing is near it; sat, val:
    its mean saturation and value; plain: the share without colour, and plainval,
    the mean value of that share.
    """
    a = rgba[:, 3]
    h, s, v = to_hsv(rgba[:, :3])
    area = least(a.sum((1, 2)), 1e-6)
    coloured = a * ((s > .18) & (v > .15))
    w = coloured * s * v
    hist = np.stack([np.bincount((x / 10).astype(int).clip(0, 35).ravel(), y.ravel(), 36) for x, y in zip(h, w)])
    smooth = hist + np.roll(hist, 1, 1) + np.roll(hist, -1, 1)
    peak = smooth.argmax(1) * 10. + 5
    # refine: weighted mean of the offsets around the peak
    off = (h - peak[:, None, None] + 180) % 360 - 180
    near = w * (np.abs(off) < 20)
    hue = peak + (near * off).sum((1, 2)) / least(near.sum((1, 2)), 1e-6)
    mine = coloured * (circular(h - hue[:, None, None]) < 32)
    n = least(mine.sum((1, 2)), 1e-6)
    grey = a * (s < .18)
    m = least(grey.sum((1, 2)), 1e-6)
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
    want = np.array([c[2:] for c in COLOURS])[colour]
    hue, sat, val = (x[:, None, None] for x in want.T)
    info = {k: x[:, None, None] for k, x in survey(rgba).items()}
    h, s, v = to_hsv(rgba[:, :3])
    # turning the dominant hue: full within 28 degrees, fading out by 50
    away = circular(h - info["hue"])
    w = ((50 - away) / 22).clip(0, 1) * ((s - .08) / .12).clip(0, 1)
    small = (h - info["hue"] + 180) % 360 - 180
    h1 = hue + small.clip(-25, 25) * .4
    s1 = (s * sat / least(info["sat"], .05)).clip(0, 1)
    gain = val / least(info["val"], .05)
    v1 = np.where(gain < 1, v * gain, 1 - (1 - v) / least(gain, 1) ** 1.5)
    v1 = np.where(gain < 1, v1, np.maximum(v1, v)).clip(0, 1)
    turned = to_rgb(h1 % 360, s1, v1) * w[:, None] + rgba[:, :3] * (1 - w[:, None])
    # tinting the grey parts: light greys take the colour, black stays
    g = ((.30 - s) / .12).clip(0, 1) * ((v - .25) / .2).clip(0, 1)
    light = (v / least(info["plainval"], .3)).clip(0, 1.25)
    v2 = (val * light).clip(0, 1)
    tinted = to_rgb((hue + v * 0) % 360, (sat + v * 0) * (1.6 - .6 * light).clip(0, 1), v2)
    tinted = tinted * g[:, None] + rgba[:, :3] * (1 - g[:, None])
    rgb = np.where(tint[:, None, None, None], tinted, turned)
    return np.concatenate([rgb.clip(0, 1), rgba[:, 3:]], 1)


def on_white(rgba):
    """Lays RGBA on white: (B,3,H,W)."""
    a = rgba[:, 3:]
    return rgba[:, :3] * a + (1 - a)
