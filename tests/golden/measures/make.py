# SPDX-License-Identifier: MIT
"""Goldens of the measures: the same arrays through torch-fidelity, prdc, pytorch-msssim, scipy and scikit-learn.

Writes goldens.safetensors beside itself. The environment is in README.md.
"""
import os
import sys
import warnings

import numpy as np
import scipy.linalg
import scipy.sparse.csgraph
import scipy.spatial.distance
import scipy.stats
import torch
from prdc import compute_prdc
from pytorch_msssim import ms_ssim
from pytorch_msssim.ssim import _ssim
from safetensors.numpy import save_file
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_poly, kid_features_to_metric, mmd2
from torch_fidelity.metric_prc import prc_features_to_metric

HERE = os.path.dirname(os.path.abspath(__file__))
RNG = np.random.RandomState(20)
K, DENSITY_K = 3, 5
SUBSETS, SUBSET_SIZE, SEED = 20, 12, 2020


def spread(n, d, shift=0.0, scale=1.0, rank=None):
    """Correlated features, as a network's are."""
    mix = np.random.RandomState(d).randn(rank or d, d) / np.sqrt(d)
    return (RNG.randn(n, rank or d) @ mix * scale + shift).astype(np.float32)


def directions(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def cases():
    yield "wide", spread(150, 12), spread(150, 12, 0.2, 1.2)  # more pictures than features
    yield "narrow", spread(24, 40), spread(30, 40, 0.1)  # fewer, in both
    yield "mixed", spread(20, 32, 0.1), spread(80, 32)  # fewer in one
    yield "flat", spread(60, 16, rank=5), spread(50, 16, 0.3, rank=5)  # covariances of rank 5
    yield "apart", spread(60, 16, 4.0, 0.1), spread(70, 16)
    yield "units", directions(spread(70, 24, 0.3)), directions(spread(50, 24))
    yield "ties", RNG.randint(1, 9, (40, 2)).astype(np.float32), RNG.randint(3, 12, (45, 2)).astype(np.float32)


def fid(a, b):
    stats = [fid_features_to_statistics(torch.from_numpy(x.astype(np.float64))) for x in (a, b)]
    return fid_statistics_to_metric(stats[0], stats[1], False)["frechet_inception_distance"]


def fid_sqrtm(a, b):
    """Through scipy's square root of the product, which torch-fidelity no longer takes."""
    s, t = np.cov(a.astype(np.float64), rowvar=False), np.cov(b.astype(np.float64), rowvar=False)
    root = scipy.linalg.sqrtm(s @ t)
    shift = a.astype(np.float64).mean(0) - b.astype(np.float64).mean(0)
    return shift @ shift + np.trace(s) + np.trace(t) - 2 * np.trace(root).real


KERNEL = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}


def mmd(xx, xy, yy):
    """Gretton et al. 2012, equation 3, for sets of any size."""
    n, m = len(xx), len(yy)
    return ((xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean())


def left_out(n):
    for i in range(n):
        yield np.arange(n) != i


def mmd_variances(xx, xy, yy):
    """Jackknife, literally: the estimate of every set with one picture less. Of the pictures, of the reference."""
    n, m = len(xx), len(yy)
    x = np.array([mmd(xx[k][:, k], xy[k], yy) for k in left_out(n)])
    y = np.array([mmd(xx, xy[:, k], yy[k][:, k]) for k in left_out(m)])
    return (n - 1) * x.var(), (m - 1) * y.var()


def mmd_error(xx, xy, yy):
    return np.sqrt(sum(mmd_variances(xx, xy, yy)))


def kid(a, b, **other):
    a, b = a.astype(np.float64), b.astype(np.float64)
    xx, xy, yy = (kernel_poly(u, v, **{**KERNEL, **other}) for u, v in ((a, a), (a, b), (b, b)))
    value = mmd(xx, xy, yy)
    if len(a) == len(b):
        assert abs(value - mmd2(xx, xy, yy)) < 1e-12 * max(1, abs(value))
    return value, mmd_error(xx, xy, yy), np.sqrt(mmd_variances(xx, xy, yy)[0])


def cmmd(a, b):
    """google-research/cmmd/distance.py's numbers in double: sigma 10, scale 1000, all pairs."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    xx, xy, yy = (np.exp(-scipy.spatial.distance.cdist(u, v, "sqeuclidean") / 200) for u, v in ((a, a), (a, b), (b, b)))
    return 1000 * (xx.mean() + yy.mean() - 2 * xy.mean()), 1000 * mmd(xx, xy, yy), 1000 * mmd_error(xx, xy, yy)


def kid_subsets(a, b, **other):
    got = kid_features_to_metric(torch.from_numpy(a.astype(np.float64)), torch.from_numpy(b.astype(np.float64)),
                                 kid_subsets=SUBSETS, kid_subset_size=SUBSET_SIZE, rng_seed=SEED, verbose=False,
                                 kid_kernel="poly", **{**KERNEL, **other})
    return got["kernel_inception_distance_mean"], got["kernel_inception_distance_std"]


def manifold(a, b):
    got = prc_features_to_metric(torch.from_numpy(a.astype(np.float64)), torch.from_numpy(b.astype(np.float64)),
                                 prc_neighborhood=K, prc_batch_size=10000, save_cpu_ram=False, verbose=False)
    deep = compute_prdc(b.astype(np.float64), a.astype(np.float64), DENSITY_K)
    return got["precision"], got["recall"], deep["density"], deep["coverage"]


def diversity(a, group):
    n = len(a)
    d = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(a.astype(np.float64)))
    pairs = lambda t: t[np.triu_indices(len(t), 1)].mean()
    each = np.array([pairs(d[k][:, k]) for k in left_out(n)])
    same = np.triu(group[:, None] == group[None, :], 1)
    return pairs(d), np.sqrt((n - 1) * each.var()), d[same].mean()


def modes(pictures, prompts, of):
    cosines = 1 - scipy.spatial.distance.cdist(pictures.astype(np.float64), prompts.astype(np.float64), "cosine")
    best = cosines.argmax(1)
    hits = np.bincount(best, minlength=len(prompts)).astype(np.float64)
    asked = np.bincount(of, minlength=len(prompts)).astype(np.float64)
    score = 100 * np.maximum(cosines[np.arange(len(of)), of], 0)
    return dict(best=best.astype(np.int32), figures=np.array([
        (hits > 0).sum(), scipy.stats.entropy(hits), scipy.stats.entropy(hits, asked),
        scipy.stats.entropy(hits, np.ones(len(prompts))), score.mean(), scipy.stats.sem(score), (best == of).mean()]))


def copying(pictures, training):
    p, t = pictures.astype(np.float64), training.astype(np.float64)
    d = scipy.spatial.distance.cdist(p, t)
    own = scipy.spatial.distance.cdist(t, t)
    np.fill_diagonal(own, np.inf)
    u = scipy.stats.mannwhitneyu(d.min(1), own.min(1), method="asymptotic", use_continuity=False)
    n, m = len(p), len(t)
    ranks = scipy.stats.rankdata(np.concatenate([d.min(1), own.min(1)]))
    counts = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    variance = n * m / 12 * (n + m + 1 - (counts**3 - counts).sum() / ((n + m) * (n + m - 1)))
    z = (u.statistic - n * m / 2) / np.sqrt(variance)
    assert abs(2 * scipy.stats.norm.sf(abs(z)) - u.pvalue) < 1e-9
    return d.argmin(1).astype(np.int32), np.array([np.median(d.min(1)), np.median(own.min(1)), z])


def duplicates(pictures, distance):
    d = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(pictures.astype(np.float64)))
    near = np.triu(d <= distance, 1)
    count, labels = scipy.sparse.csgraph.connected_components(near, directed=False)
    return np.array([near.sum(), count, np.bincount(labels).max()], np.float64)


# ---- pictures ----

def picture(k, width, height):
    """Whole numbers only, so that C makes the same."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    wave = np.abs(((x * (3 + c) + y * 5) & 511) - 256) * 7 // 8
    return np.minimum(wave * (5 - k) // 5 + ((x * 7 + y * 11 + k * 29) * k & 31), 255).astype(np.uint8)


def shrinking_ms_ssim(a, b):
    """As pytorch-msssim, but with a window that fits the scale: Odena et al. 2017 have it so."""
    weights, values = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333], []
    for level, weight in enumerate(weights):
        size = min(11, *a.shape[2:])
        at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        window = torch.exp(-at**2 / (2 * (1.5 * size / 11) ** 2))
        window = (window / window.sum()).reshape(1, 1, 1, -1).repeat(3, 1, 1, 1)
        likeness, contrast = _ssim(a, b, data_range=255, win=window, size_average=False)
        values.append(torch.relu(likeness if level == 4 else contrast) ** weight)
        padding = [s % 2 for s in a.shape[2:]]
        a, b = (torch.nn.functional.avg_pool2d(v, 2, padding=padding) for v in (a, b))
    return torch.stack(values).prod(0).mean().item()


def likenesses(width, height):
    pictures = [torch.from_numpy(picture(k, width, height).astype(np.float64)).permute(2, 0, 1)[None] for k in range(4)]
    values = []
    for i in range(4):
        for j in range(i + 1, 4):
            value = shrinking_ms_ssim(pictures[i], pictures[j])
            if min(width, height) > 160:
                published = ms_ssim(pictures[i], pictures[j], data_range=255).item()
                assert abs(value - published) < 1e-6, (value, published)
                value = published
            values.append(value)
    return np.array(values)


def main():
    warnings.simplefilter("ignore")
    out = {}
    for name, a, b in cases():
        out[name + ".a"], out[name + ".b"] = a, b
        distance = fid(a, b)
        print(name, "fid", distance, fid_sqrtm(a, b))
        out[name + ".fid"] = np.array([distance])
        out[name + ".kid"] = np.array([*kid(a, b)[:2], *kid_subsets(a, b)])
        if name == "units":
            out[name + ".kid1"] = np.array([*kid(a, b, kid_kernel_poly_gamma=1.0),
                                            *kid_subsets(a, b, kid_kernel_poly_gamma=1.0)])
        out[name + ".cmmd"] = np.array(cmmd(a, b))
        out[name + ".manifold"] = np.array(manifold(a, b))
        out[name + ".diversity"] = np.array(diversity(a, np.arange(len(a)) % 4))
        out[name + ".nearest"], out[name + ".copying"] = copying(a, b)
        out[name + ".duplicates"] = duplicates(a, 0.7 * out[name + ".diversity"][0])
        of = (np.arange(len(a)) * 7 % 6).astype(np.int32)
        found = modes(a, b[:6], of)
        out[name + ".best"], out[name + ".modes"] = found["best"], found["figures"]
        print({k: v for k, v in out.items() if k.startswith(name) and v.size < 8})
    for width, height in ((176, 192), (173, 181), (64, 64), (37, 50), (16, 23)):
        out[f"ms_ssim.{width}x{height}"] = likenesses(width, height)
        print(width, height, out[f"ms_ssim.{width}x{height}"])
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, os.path.join(HERE, "goldens.safetensors"))


if __name__ == "__main__":
    sys.exit(main())
