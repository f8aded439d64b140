# SPDX-License-Identifier: MIT
"""Draws prompts with the PyTorch models, as a reference for the C program:
sample.py PACK.safetensors OUT.png [PROMPT ...]   (default: prompts.txt, seeds 1..)
"""
import json
import os
import sys

import numpy as np
import torch

import model as M
import settings as S
import tokenizer as tk
import weights


class Pack:
    """A pack's three networks and its tokenizer."""

    def __init__(self, path):
        tensors, meta = weights.load(path)
        self.token = tk.Tokenizer(tk.parse_merges(meta["limn.merges"]))
        self.info = json.loads(meta["limn.pack"])
        self.text, self.unet, self.vae = M.build(S.NETWORKS, self.token.size)
        for kind, m in (("text", self.text), ("unet", self.unet), ("vae", self.vae)):
            n = len(M.PREFIX[kind])
            m.load_state_dict({k[n:]: torch.from_numpy(v.astype(np.float32))
                               for k, v in tensors.items() if k.startswith(M.PREFIX[kind])})
            m.eval().requires_grad_(False)

    @torch.no_grad()
    def draw(self, prompts, seeds):
        """Pictures in 0..1, (N,3,H,W)."""
        d, side = self.info["defaults"], self.info["size"] // 4
        shape = 1, S.NETWORKS["vae"]["latent"], side, side
        noise = torch.cat([torch.randn(*shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        context = self.text(torch.tensor([self.token.encode(p) for p in prompts]))
        empty = self.text(torch.tensor([self.token.encode("")]))
        out = []
        for i in range(0, len(noise), 12):
            z = M.sample(self.unet, context[i:i + 12], empty, noise[i:i + 12], d["steps"], d["cfg"])
            out.append(self.vae.decode(z).clamp(-1, 1) * .5 + .5)
        return torch.cat(out)


def read_prompts():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "prompts.txt"), encoding="utf-8") as f:
        return [p.strip() for p in f if p.strip()]


def sheet(pictures, columns):
    """(N,3,H,W) in 0..1 -> one picture, uint8 (rows,columns,3)."""
    n, _, h, w = pictures.shape
    rows = -(-n // columns)
    out = torch.full((rows * columns, 3, h + 2, w + 2), .8)
    out[:n, :, 1:-1, 1:-1] = pictures
    out = out.reshape(rows, columns, 3, h + 2, w + 2).permute(0, 3, 1, 4, 2)
    return (out.reshape(rows * (h + 2), columns * (w + 2), 3) * 255 + .5).byte().numpy()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    prompts = sys.argv[3:] or read_prompts()
    pictures = Pack(sys.argv[1]).draw(prompts, range(1, len(prompts) + 1))
    weights.save_png(sys.argv[2], sheet(pictures, min(12, len(prompts))))


if __name__ == "__main__":
    main()
