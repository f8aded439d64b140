"""Goldens of the random generators: torch's CPU generator as torch itself draws, and torch's
CUDA generator from the numpy model below (README.md says what that was checked against)."""

import json

import numpy as np
import torch
from safetensors.numpy import save_file

SEEDS = (0, 1, 42, 123456789, 0xFFFFFFFF, (1 << 32) + 7, (1 << 63) - 1)
SIZES = (1, 4, 15, 16, 17, 64, 100, 1000)
CHAIN = (1, 1, 3, 16, 2, 17, 5, 256, 1)   # consecutive draws from one generator


# ---------------------------------------------------------------- a model of the CPU generator

class Mt19937:
    """torch's CPU generator in numpy, f64 inside: only to check the README's description."""

    def __init__(self, seed):
        self.bits = np.random.RandomState()
        self.bits.seed(seed & 0xFFFFFFFF)   # init_genrand, as torch
        self.cached = None

    def u32(self, n):
        return self.bits.randint(0, 1 << 32, n, dtype=np.uint64)

    def uniform(self, n):   # f32 in [0, 1): 24 bits of one draw
        return (self.u32(n) & 0xFFFFFF) * 2.0**-24

    def uniform_double(self):   # 53 bits of two draws, the first is the high half
        high, low = (int(x) for x in self.u32(2))
        return (((high << 32) | low) & ((1 << 53) - 1)) * 2.0**-53

    def scalar(self):
        if self.cached is not None:
            value, self.cached = self.cached, None
            return value
        u1, u2 = self.uniform_double(), self.uniform_double()
        radius = np.sqrt(-2.0 * np.log1p(-u2))
        self.cached = radius * np.sin(2.0 * np.pi * u1)
        return radius * np.cos(2.0 * np.pi * u1)

    @staticmethod
    def fill16(data):
        u1, u2 = 1.0 - data[:8], data[8:]
        radius, theta = np.sqrt(-2.0 * np.log(u1)), 2.0 * np.pi * u2
        return np.concatenate([radius * np.cos(theta), radius * np.sin(theta)])

    def randn(self, n):
        if n < 16:
            return np.array([self.scalar() for _ in range(n)])
        data = self.uniform(n)
        for i in range(0, n - 15, 16):
            data[i:i + 16] = self.fill16(data[i:i + 16])
        if n % 16:   # the last 16 are drawn anew, over what is already there
            data[n - 16:] = self.fill16(self.uniform(16))
        return data


# ---------------------------------------------------------------- the CUDA generator

def philox4x32_10(counter, key):
    c = [np.asarray(x, dtype=np.uint64) for x in counter]
    k = [np.uint64(x) for x in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & low, (a >> np.uint64(32)) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return c


class Philox:
    """What torch.randn(n, device="cuda") draws while n fits in one pass of the grid."""

    def __init__(self, seed):
        self.key, self.offset = (seed & 0xFFFFFFFF, seed >> 32), 0

    def raw(self, n):
        """Two words per value.  Value i is the first of four of subsequence i."""
        i = np.arange(n, dtype=np.uint64)
        zero = np.zeros_like(i)
        words = philox4x32_10([zero + np.uint64(self.offset), zero, i, zero], self.key)
        self.offset += 1   # each call to randn takes one counter step (four words)
        return words[0], words[1]

    def randn(self, n):
        """curand's Box-Muller in f32: x to float, one fused multiply-add, logf, sqrtf, sinf."""
        x, y = self.raw(n)
        inv, inv_2pi = np.float32(2.3283064e-10), np.float32(2.3283064e-10) * np.float32(6.2831855)

        def fma(word, scale):   # exact in f64 up to one last rounding to f32
            return (word.astype(np.float32).astype(np.float64) * scale + scale / np.float32(2)).astype(np.float32)

        u, v = fma(x, inv), fma(y, inv_2pi)
        s = np.sqrt(np.float32(-2.0) * np.log(u))
        out = s * np.sin(v)
        assert out.dtype == np.float32
        return out

    def randn_f64(self, n):
        """The same with f64 inside, as the web UI's numpy version has it."""
        x, y = self.raw(n)
        inv = np.float64(np.float32(2.3283064e-10))
        inv_2pi = np.float64(np.float32(2.3283064e-10 * 6.2831855))
        u, v = x * inv + inv / 2, y * inv_2pi + inv_2pi / 2
        return (np.sqrt(-2.0 * np.log(u)) * np.sin(v)).astype(np.float32)


# ---------------------------------------------------------------- files

def chain(draw):
    return np.concatenate([draw(n) for n in CHAIN])


def make(folder):
    out, worst = {}, 0.0
    for seed in SEEDS:
        for n in SIZES:
            g = torch.Generator().manual_seed(seed)
            out[f"{seed}.{n}"] = torch.randn(n, generator=g).numpy()
            worst = max(worst, np.abs(out[f"{seed}.{n}"] - Mt19937(seed).randn(n)).max())
        g = torch.Generator().manual_seed(seed)
        out[f"{seed}.chain"] = chain(lambda n: torch.randn(n, generator=g).numpy())
        model = Mt19937(seed)
        worst = max(worst, np.abs(out[f"{seed}.chain"] - chain(model.randn)).max())
    g = torch.Generator().manual_seed(42)
    out["42.uniform"] = torch.rand(20, generator=g).numpy()
    assert np.array_equal(out["42.uniform"], Mt19937(42).uniform(20).astype(np.float32))
    print(f"  mt19937: torch against the numpy model: {worst:.1e}")
    about = {"config": json.dumps({"seeds": SEEDS, "sizes": SIZES, "chain": CHAIN})}
    save_file(out, f"{folder}/rng-mt19937.safetensors", about)

    # What the web UI's rng_philox.py says torch gives on a GPU for seed 0.
    published = [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564,
                 -0.62285122, -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497]
    assert np.abs(Philox(0).randn(12) - np.float32(published)).max() < 1e-6
    assert np.abs(Philox(0).randn_f64(12) - np.float32(published)).max() < 5e-7
    # Printed by torch on GPUs (four digits): a longer draw, and six draws of 4 from one generator.
    longer = [0.3117, -0.1842, 1.2866, 1.1820, -0.1271, 1.2169, 1.4353, 1.0605, -0.4941, -1.4244, -0.7244, -1.2973]
    assert np.abs(Philox(0).randn(64)[12:24] - longer).max() < 6e-5
    six = [0.1940, 2.1614, -0.1721, 0.8491, 0.1391, -0.1082, -0.7174, 0.7566, -0.5187, 1.2268, 0.6255, -0.9117,
           -0.6974, -1.8688, -0.8832, -1.6627, -1.2682, -0.0383, -0.1029, 1.4400, 1.4640, -0.3238, 0.7740, 1.5892]
    model = Philox(42)
    assert np.abs(np.concatenate([model.randn(4) for _ in range(6)]) - six).max() < 6e-5
    # Random123's known answers for philox4x32-10.
    for counter, key, answer in (
            ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
            ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
            ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
             "d16cfe09 94fdcceb 5001e420 24126ea1")):
        assert " ".join(f"{int(x):08x}" for x in philox4x32_10(counter, key)) == answer
    out, worst = {}, 0.0
    for seed in SEEDS:
        for n in (4, 64, 1000):
            out[f"{seed}.{n}"] = Philox(seed).randn(n)
            worst = max(worst, np.abs(out[f"{seed}.{n}"] - Philox(seed).randn_f64(n)).max())
        model = Philox(seed)
        out[f"{seed}.chain"] = chain(model.randn)
        model = Philox(seed)
        worst = max(worst, np.abs(out[f"{seed}.chain"] - chain(model.randn_f64)).max())
    x, y = Philox(42).raw(20)
    out["42.words"] = np.stack([x, y]).astype(np.uint32).view(np.int32)
    print(f"  philox: f32 against f64 inside: {worst:.1e}")
    save_file(out, f"{folder}/rng-philox.safetensors", about)
