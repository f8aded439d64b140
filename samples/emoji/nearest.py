# SPDX-License-Identifier: MIT
"""How close the pictures are to the training set: nearest.py PACK.safetensors DATA_DIR OUT.png [N]

Draws N pictures (default: all of prompts.txt) and finds for each the nearest
training picture, by root mean square difference of the pixels. OUT.png shows
pairs side by side: drawn, nearest. Prints the distances.
"""
import argparse
import sys

import torch

import sample
import train
import weights


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    pack = sample.Pack(sys.argv[1])
    train.ARGS = argparse.Namespace(data=sys.argv[2])
    pictures, bases = train.load_data()[:2]
    known = pictures.float() / 255
    prompts = sample.read_prompts()[:int(sys.argv[4]) if len(sys.argv) > 4 else None]
    drawn = pack.draw(prompts, range(1, len(prompts) + 1))
    distance = torch.cdist(drawn.flatten(1), known.flatten(1)) / known[0].numel() ** .5
    best, at = distance.min(1)
    for p, d, i in zip(prompts, best.tolist(), at.tolist()):
        print(f"{d:.3f}  {'copy' if i >= bases else 'own colour'}  {p}")
    print(f"mean {best.mean():.3f}, median {best.median():.3f}; between two training pictures, median "
          f"{neighbours(known):.3f}")
    weights.save_png(sys.argv[3], sample.sheet(torch.stack([drawn, known[at]], 1).flatten(0, 1), 12))


def neighbours(known):
    """The median distance from a training picture to the nearest other one."""
    d = torch.cdist(known.flatten(1), known.flatten(1))
    d.fill_diagonal_(float("inf"))
    return (d.min(1)[0].median() / known[0].numel() ** .5).item()


if __name__ == "__main__":
    main()
