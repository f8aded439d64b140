# SPDX-License-Identifier: MIT
"""A small reader and writer of .safetensors files, and of PNG pictures."""
import json
import os
import struct
import zlib

import numpy as np

TYPES = {"F16": np.float16, "F32": np.float32}


def save(path, tensors, metadata=None):
    """tensors: {name: numpy array (f16 or f32)}; written whole, then renamed."""
    names = {np.dtype(v): k for k, v in TYPES.items()}
    head, at = {}, 0
    if metadata:
        head["__metadata__"] = metadata
    for name, x in tensors.items():
        head[name] = dict(dtype=names[x.dtype], shape=list(x.shape), data_offsets=[at, at + x.nbytes])
        at += x.nbytes
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            f.write(np.ascontiguousarray(x).tobytes())
    os.replace(path + ".tmp", path)


def load(path):
    """Returns ({name: array}, metadata)."""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    meta = head.pop("__metadata__", {})
    body, out = memoryview(data)[8 + n:], {}
    for name, e in head.items():
        a, b = e["data_offsets"]
        out[name] = np.frombuffer(body[a:b], TYPES[e["dtype"]]).reshape(e["shape"])
    return out, meta


def save_png(path, x):
    """x: uint8 (H,W,3)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w, _ = x.shape
    rows = np.concatenate([np.zeros((h, 1), np.uint8), x.reshape(h, -1)], 1)
    with open(path + ".tmp", "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
                + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + chunk(b"IEND", b""))
    os.replace(path + ".tmp", path)
