#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many different training pictures are nearest to painted ones, and of which classes those are.

    python3 nearest.py FOLDER_OF_PNGS [FOLDER_OF_IDX_FILES]        needs numpy and Pillow

Nearest by the sum of squared differences of pixels, among the 60,000 training pictures.  A generator that has collapsed
paints few things, and many of its pictures share a nearest one.  The class of the nearest picture is a rough guess at
what a picture shows.
"""
import collections
import glob
import gzip
import os
import sys

import numpy as np
from PIL import Image

NAMES = 'T-shirt trousers pullover dress coat sandal shirt sneaker bag boot'.split()
folder = sys.argv[1]
data = sys.argv[2] if len(sys.argv) > 2 else '/usr/share/datasets/fashion-mnist'


def idx(name, header):
    with gzip.open(os.path.join(data, name)) as f:
        return np.frombuffer(f.read(), np.uint8)[header:]


train = idx('train-images-idx3-ubyte.gz', 16).reshape(60000, 784).astype(np.float32)
labels = idx('train-labels-idx1-ubyte.gz', 8)
paths = sorted(glob.glob(os.path.join(folder, '*.png')))
made = np.stack([np.asarray(Image.open(p).convert('L'), np.float32).reshape(784) for p in paths])
apart = (train ** 2).sum(1)[None] - 2 * made @ train.T
nearest = apart.argmin(1)
distance = np.sqrt(((made - train[nearest]) ** 2).mean(1))
classes = collections.Counter(NAMES[labels[i]] for i in nearest)
print(f'{len(paths)} pictures, {len(set(nearest))} distinct nearest training pictures, '
      f'mean distance to them {distance.mean():.1f} of 255')
print(', '.join(f'{n} {classes[n]}' for n in NAMES))
