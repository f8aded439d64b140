#!/usr/bin/env python3
"""Make training.safetensors beside this script: how the losses of a tiny CLIPModel fall; see README.md.

    python3 train.py
"""

import os

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

import make

STEPS, RATE = 8, 2e-4
TEXTS = ["a red apple", "a photo of a cat", "빨간 사과", "a cat and a dog", "the moon", "a blue car, flat style"]


def picture(i):
    """Slopes and waves, another one for each i; the same in C (test_train_clip.c)."""
    y, x, c = np.meshgrid(np.arange(32), np.arange(32), np.arange(3), indexing="ij")
    v = (x * (3 + c + i) + y * (7 - 2 * c + 3 * i) + (x * y >> 4) * (c + 1 + i)) & 511
    return np.where(v < 256, v, 511 - v).astype(np.uint8)


def main():
    common = dict(hidden_act="quick_gelu", attention_dropout=0.0)
    model = make.set_weights(CLIPModel(CLIPConfig(
        text_config=dict(vocab_size=49408, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                         max_position_embeddings=77, **common),
        vision_config=dict(hidden_size=96, intermediate_size=192, num_hidden_layers=3, num_attention_heads=6, image_size=32,
                           patch_size=8, **common), projection_dim=48)), "clip-hf")
    _, _, fast = make.tokens.hugging_face()
    ids = torch.from_numpy(fast(TEXTS, padding="max_length", max_length=77, return_tensors="np")["input_ids"].astype(np.int64))
    pixels = torch.from_numpy(np.stack([picture(i) for i in range(len(TEXTS))])).permute(0, 3, 1, 2).float() / 127.5 - 1
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=others, weight_decay=0)], lr=RATE,
                                  betas=(0.9, 0.98), eps=1e-6)
    losses, scales = [], []
    for step in range(STEPS):
        out = model(input_ids=ids, pixel_values=pixels, return_loss=True)
        losses.append(out.loss.item())
        scales.append(model.logit_scale.exp().item())
        optimiser.zero_grad()
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    print(losses, scales)
    save_file({"losses": torch.tensor(losses), "scales": torch.tensor(scales)}, os.path.join(make.HERE, "training.safetensors"))


if __name__ == "__main__":
    main()
