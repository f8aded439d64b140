"""The weight rule: the value of every weight follows from its tensor's name and shape.

No weights are committed.  This module and its twin in C make the same bits from the
names and shapes in tensors/*.txt; README.md states the rule in words.
"""

import math

import numpy as np

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def fnv1a64(name: str) -> int:
    h = 0xCBF29CE484222325
    for byte in name.encode("utf-8"):
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def unit(name: str, count: int) -> np.ndarray:
    """`count` f32 values in [-1, 1), each an exact multiple of 2^-23."""
    i = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + i * GOLDEN_GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    u = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23)
    return u - np.float32(1.0)


def weight(name: str, shape) -> np.ndarray:
    """The tensor `name`; every branch is one exact or once-rounded f32 operation."""
    u = unit(name, int(np.prod(shape, dtype=np.int64)))
    if len(shape) == 1 and name.endswith(".weight"):      # a norm's scale
        value = np.float32(1.0) + u * np.float32(0.125)
    elif len(shape) == 1:                                  # a bias
        value = u * np.float32(0.0625)
    elif "token_embedding" in name:
        value = u * np.float32(0.5)
    elif "position" in name:
        value = u * np.float32(0.125)
    else:                                                  # unit gain for unit input
        fan_in = int(np.prod(shape[1:], dtype=np.int64))
        value = u * np.float32(math.sqrt(3.0 / fan_in))
    assert value.dtype == np.float32
    return value.reshape(shape)
