# SPDX-License-Identifier: MIT
"""How close painted pictures are to the training set: nearest.py FOLDER_OF_PNGS DATA_DIR OUT.png

Finds for each picture the nearest training picture, by root mean square difference of the pixels (0 to 1). OUT.png
shows pairs side by side: painted, nearest. Prints the distances. Needs numpy and Pillow.
"""
import glob
import os
import sys

import numpy as np
from PIL import Image

import drawings as dr


def read(paths):
    return np.stack([np.asarray(Image.open(p).convert("RGB"), np.float32) / 255 for p in paths])


def distances(a, b):
    return np.stack([np.sqrt(((b - x) ** 2).mean((1, 2, 3))) for x in a])


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, data, out = sys.argv[1:]
    paths = sorted(glob.glob(os.path.join(folder, "*.png")))
    known = read(sorted(glob.glob(os.path.join(data, "pictures", "*.png"))))
    painted = read(paths)
    d = distances(painted, known)
    best, at = d.min(1), d.argmin(1)
    for p, x in zip(paths, best):
        print(f"{x:.3f}  {os.path.basename(p)}")
    between = distances(known, known)
    np.fill_diagonal(between, np.inf)
    print(f"mean {best.mean():.3f}, median {np.median(best):.3f}; from a training picture to its nearest, median "
          f"{np.median(between.min(1)):.3f}")
    dr.save_png(out, pairs(painted, known[at]))


def pairs(a, b, columns=6):
    """Six pairs a row, grey lines between all pictures."""
    both = np.stack([a, b], 1).reshape(-1, *a.shape[1:])
    n, h, w, _ = both.shape
    rows = -(-n // (2 * columns))
    sheet = np.full((rows * 2 * columns, h + 2, w + 2, 3), 200, np.uint8)
    sheet[:n, 1:-1, 1:-1] = (both * 255 + .5).astype(np.uint8)
    sheet = sheet.reshape(rows, 2 * columns, h + 2, w + 2, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(sheet.reshape(rows * (h + 2), -1, 3))


if __name__ == "__main__":
    main()
