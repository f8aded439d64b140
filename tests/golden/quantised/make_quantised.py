#!/usr/bin/env python3
"""Make quantised.safetensors beside this script, what ggml's reference makes of rows of numbers, and ../files/small.gguf,
tensors of all types that limn reads. See README.md."""

import os

import gguf
import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = 32


def rows():
    """Blocks that rounding finds hard, and random ones of many sizes."""
    rng = np.random.default_rng(20)
    steps = np.arange(BLOCK, dtype=np.float32)
    halves = np.concatenate([np.float32([127]), steps[1:] - 15.5])
    nibbles = np.concatenate([np.float32([-8]), np.resize(np.arange(-7.5, 8, 0.5), BLOCK - 1)]).astype(np.float32)
    special = [
        np.zeros(BLOCK, np.float32),
        halves,  # steps of Q8_0 that end in a half, both signs
        nibbles,  # the same of Q4_0
        -nibbles,
        np.where(steps == 5, np.float32(-3), np.float32(0)),
        np.where(steps % 2 == 0, np.float32(2.5), np.float32(-2.5)),  # the largest value twice
        np.full(BLOCK, 1e-30, np.float32),  # whose scale is 0 as a half
        np.full(BLOCK, 3e-7, np.float32),  # and one below the smallest normal half
        np.where(steps == 0, np.float32(60000), steps),
    ]
    random = [rng.standard_normal(BLOCK).astype(np.float32) * np.float32(10.0**e) for e in range(-6, 4) for _ in range(4)]
    return np.stack(special + random)


def write_gguf(path):
    """A convolution's weight, which has the innermost dimension of 3, and matrices of 3 rows."""
    rng = np.random.default_rng(21)
    writer = gguf.GGUFWriter(path, "sd1")
    writer.add_name("small")
    writer.add_uint32("test.number", 7)
    writer.add_array("test.words", ["a", "bc", ""])
    writer.add_array("test.numbers", [1, 2, 3])
    conv = rng.standard_normal((2, 4, 3, 3)).astype(np.float16)
    matrix = rng.standard_normal((3, 64)).astype(np.float32)
    vector = rng.standard_normal(5).astype(np.float32)
    values = {"conv": conv.astype(np.float32), "vector": vector, "F32": matrix}
    writer.add_tensor("conv", conv)
    writer.add_tensor("vector", vector)
    writer.add_tensor("F32", matrix)
    for name in ("BF16", "Q8_0", "Q4_0"):
        kind = gguf.GGMLQuantizationType[name]
        stored = gguf.quants.quantize(matrix, kind)
        writer.add_tensor(name, stored, raw_dtype=kind)
        values[name] = gguf.quants.dequantize(stored, kind).astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def main():
    x = rows()
    tensors = {"x": x}
    for name in ("Q8_0", "Q4_0"):
        kind = gguf.GGMLQuantizationType[name]
        stored = gguf.quants.quantize(x, kind)
        tensors[name] = np.ascontiguousarray(stored)
        tensors[name + ".values"] = gguf.quants.dequantize(stored, kind).astype(np.float32)
    for name, values in write_gguf(os.path.join(HERE, "../files/small.gguf")).items():
        tensors["small." + name] = values
    save_file(tensors, os.path.join(HERE, "quantised.safetensors"))


if __name__ == "__main__":
    main()
