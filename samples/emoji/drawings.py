# SPDX-License-Identifier: MIT
"""The drawings that fetch.sh unpacked: which there are, what they are called, how they are painted and written."""
import ctypes as C
import glob
import json
import os
import struct
import sys
import zlib

import numpy as np

import settings as S


class Rect(C.Structure):
    _fields_ = [(n, C.c_double) for n in ("x", "y", "w", "h")]


def libraries():
    rsvg, cairo = C.CDLL("librsvg-2.so.2"), C.CDLL("libcairo.so.2")
    gobject = C.CDLL("libgobject-2.0.so.0")
    p, i = C.c_void_p, C.c_int
    rsvg.rsvg_handle_new_from_data.restype = p
    rsvg.rsvg_handle_new_from_data.argtypes = [C.c_char_p, C.c_size_t, p]
    rsvg.rsvg_handle_render_document.argtypes = [p, p, C.POINTER(Rect), p]
    cairo.cairo_image_surface_create_for_data.restype = p
    cairo.cairo_image_surface_create_for_data.argtypes = [p, i, i, i, i]
    cairo.cairo_create.restype = p
    for f in (cairo.cairo_create, cairo.cairo_destroy, cairo.cairo_surface_flush,
              cairo.cairo_surface_destroy, gobject.g_object_unref):
        f.argtypes = [p]
    return rsvg, cairo, gobject


def render(libs, svg):
    """SVG text -> un-premultiplied RGBA array, or None where it fails."""
    rsvg, cairo, gobject = libs
    data = svg.encode()
    handle = rsvg.rsvg_handle_new_from_data(data, len(data), None)
    if not handle:
        return None
    n = S.SIZE * 4                                    # drawn four times as large
    buf = np.zeros((n, n, 4), np.uint8)
    surface = cairo.cairo_image_surface_create_for_data(buf.ctypes.data, 0, n, n, n * 4)
    cr = cairo.cairo_create(surface)
    m = 4.0 * S.MARGIN
    ok = rsvg.rsvg_handle_render_document(handle, cr, C.byref(Rect(m, m, n - 2 * m, n - 2 * m)), None)
    cairo.cairo_destroy(cr)
    cairo.cairo_surface_flush(surface)
    cairo.cairo_surface_destroy(surface)
    gobject.g_object_unref(handle)
    if not ok:
        return None
    f = buf.astype(np.float32).reshape(S.SIZE, 4, S.SIZE, 4, 4).mean((1, 3))
    a = f[..., 3:]
    rgb = np.where(a > 0, f[..., 2::-1] / np.maximum(a, 1e-6) * 255, 255)
    out = np.concatenate([rgb, a], -1)
    return np.clip(out + .5, 0, 255).astype(np.uint8)


def canon(code):
    """A code point sequence without variation selectors, upper case."""
    return "-".join(p for p in code.upper().split("-") if p != "FE0F")


def package(root, name):
    found = [d for d in glob.glob(os.path.join(root, "*" + name + "-[0-9]*", "package"))]
    if len(found) != 1:
        sys.exit(f"expected one unpacked package {name} under {root}: {found}")
    return found[0]


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def names(root, language):
    """emojibase's entries by code point: label, tags, group."""
    entries = load(package(root, "emojibase-data") + f"/{language}/data.json")
    return {canon(e["hexcode"]): e for e in entries}


def squeezed(name):
    return "".join(c for c in name.lower() if c.isalnum())


def codes_by_name(root, styles):
    """Icon name -> code points, from the packages that have a table of them. The names are one scheme across these
    packages, so it serves the others too; a name run together, as fxemoji's are, is found by its letters."""
    table, found = {}, glob.glob(os.path.join(root, "*", "package", "chars.json"))
    first = [package(root, style) + "/chars.json" for style in styles]
    for path in [p for p in first if p in found] + sorted(p for p in found if p not in first):
        for code, name in load(path).items():
            table.setdefault(name, canon(code))
    by_letters = {}
    for name, code in table.items():
        by_letters.setdefault(squeezed(name), code)
    for code, entry in names(root, "en").items():
        by_letters.setdefault(squeezed(entry["label"]), code)
    return table, by_letters


def icons(root, styles):
    """Yields (style, code points, SVG text) of every drawing whose code points are known, aliases last."""
    code_of, by_letters = codes_by_name(root, styles)
    for style in styles:
        folder = package(root, style)
        data = load(folder + "/icons.json")
        chars = folder + "/chars.json"
        own = {n: canon(c) for c, n in load(chars).items()} if os.path.exists(chars) else {}
        table = dict(data["icons"])
        for name, alias in data.get("aliases", {}).items():
            if set(alias) == {"parent"} and alias["parent"] in table:
                table.setdefault(name, table[alias["parent"]])
        for name, icon in table.items():
            code = own.get(name) or code_of.get(name) or by_letters.get(squeezed(name))
            if code is None or icon.get("hidden"):
                continue
            w, h = (icon.get(x, data.get(x, 16)) for x in ("width", "height"))
            yield style, code, (
                '<svg xmlns="http://www.w3.org/2000/svg" '
                'xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'width="{w}" height="{h}" viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {w} {h}">'
                f'{icon["body"]}</svg>')


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
