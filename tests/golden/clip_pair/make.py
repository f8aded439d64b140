#!/usr/bin/env python3
"""Make goldens.safetensors beside this script, and ../tensors/clip-*.txt; see README.md.

    python3 make.py
"""

import importlib.util
import json
import math
import os
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))
import rule    # noqa: E402
import tokens  # noqa: E402

LOGIT_SCALE = math.log(1 / 0.07)
TEXTS = ["a red apple", "a photo of a cat", "", "빨간 사과", ", ".join(f"{w} {s}" for w, s in zip(tokens.ADJECTIVES * 2, tokens.SUBJECTS)),
         "a cat <|endoftext|> and a dog"]
# name: (width, height, channels, size of the square)
PICTURES = {"wide": (61, 40, 3, 32), "tall": (37, 83, 3, 32), "corner": (35, 32, 3, 32), "odd": (32, 35, 3, 32),
            "small": (9, 7, 3, 32), "same": (32, 32, 3, 32), "grey": (45, 50, 1, 32), "grey_alpha": (45, 50, 2, 32),
            "alpha": (50, 45, 4, 32), "shrunk": (611, 400, 3, 32), "thin": (300, 5, 3, 32), "large": (301, 517, 3, 224)}
EVERY = 16   # rows of the large one that are kept


def picture(width, height, channels):
    """Slopes and waves; the same in C (test_image_tower.c)."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    v = (x * (3 + c) + y * (7 - 2 * c) + (x * y >> 4) * (c + 1)) & 511
    pixels = np.where(v < 256, v, 511 - v).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels])


def processor(size, **more):
    return CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}, **more)


def set_weights(model, list_name):
    state, lines = {}, []
    for name, value in model.state_dict().items():
        if name.endswith("position_ids"):
            continue
        if name == "logit_scale":
            state[name] = torch.tensor(LOGIT_SCALE)
            lines.append("1 logit_scale\n")
            continue
        state[name] = torch.from_numpy(rule.weight(name, tuple(value.shape)))
        lines.append("x".join(map(str, value.shape)) + " " + name + "\n")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(n.endswith("position_ids") for n in missing)
    with open(os.path.join(os.path.dirname(HERE), "tensors", list_name + ".txt"), "w") as f:
        f.writelines(lines)
    return model.eval()


def token_rows(pad):
    _, _, fast = tokens.hugging_face()
    ids = fast(TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="np")["input_ids"].astype(np.int64)
    if pad is not None:
        for row in ids:
            last = max(i for i in range(77) if row[i] != fast.eos_token_id) + 1
            row[last + 1:] = pad
    return torch.from_numpy(ids)


def pixels(size):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


def keep(out, name, call, in_double=True):
    """Keeps the f32 result and prints how far the f64 one is."""
    results = []
    for dtype in (torch.float32, torch.float64) if in_double else (torch.float32,):
        torch.set_default_dtype(dtype)
        with torch.no_grad():
            results.append(call(dtype))
    torch.set_default_dtype(torch.float32)
    f32, wide = results[0], results[-1]
    out[name] = f32.float().contiguous()
    print(f"  {name:28s} {str(tuple(f32.shape)):16s} f32 error {float((f32.double() - wide).abs().max() / wide.abs().max()):.1e}")


def directions(features):
    return features / features.norm(dim=-1, keepdim=True)


def network(out, kind, x, embed_image, embed_text, prepare, in_double):
    own = prepare(picture(53, 44, 3), return_tensors="pt")["pixel_values"]
    out[f"{kind}.pixels"] = x
    keep(out, f"{kind}.image", lambda t: embed_image(t, x.to(t)), in_double)
    keep(out, f"{kind}.directions", lambda t: directions(embed_text(t)), in_double)
    keep(out, f"{kind}.picture", lambda t: directions(embed_image(t, own.to(t))), in_double)
    out[f"{kind}.image_directions"] = directions(out[f"{kind}.image"])


def compare(out, kind, logits):
    out[f"{kind}.logits"] = logits.contiguous()
    out[f"{kind}.probabilities"] = logits.softmax(dim=1).contiguous()


def hugging_face(out, notes, kind, act, prepare):
    common = dict(hidden_act=act, attention_dropout=0.0)
    config = CLIPConfig(
        text_config=dict(vocab_size=49408, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                         max_position_embeddings=77, **common),
        vision_config=dict(hidden_size=96, intermediate_size=192, num_hidden_layers=3, num_attention_heads=6, image_size=32,
                           patch_size=8, **common), projection_dim=48)
    model = set_weights(CLIPModel(config), "clip-hf")
    ids = token_rows(None)
    network(out, kind, pixels(32), lambda t, x: model.to(t).get_image_features(x), lambda t: model.to(t).get_text_features(ids), prepare, True)
    with torch.no_grad():
        compare(out, kind, model.float()(input_ids=ids, pixel_values=out[f"{kind}.pixels"]).logits_per_image)
    notes[f"{kind}.config.json"] = config.to_json_string()
    notes[f"{kind}.preprocessor_config.json"] = prepare.to_json_string()


def openai(out):
    # clip/model.py of clip-anytorch, without importing the package around it.
    package = os.path.dirname(importlib.util.find_spec("clip").origin)
    spec = importlib.util.spec_from_file_location("openai_model", os.path.join(package, "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = set_weights(module.CLIP(embed_dim=56, image_resolution=40, vision_layers=3, vision_width=128, vision_patch_size=8,
                                    context_length=77, vocab_size=49408, transformer_width=128, transformer_heads=2,
                                    transformer_layers=2), "clip-openai")
    ids = token_rows(0)
    network(out, "openai", pixels(40), lambda t, x: model.encode_image(x), lambda t: model.encode_text(ids), processor(40),
            False)   # layer norms there are in f32 always
    with torch.no_grad():
        compare(out, "openai", model(out["openai.pixels"], ids)[0])


def pictures(out):
    for name, (width, height, channels, size) in PICTURES.items():
        values = processor(size)(picture(width, height, channels), return_tensors="pt")["pixel_values"][0]
        values = values.permute(1, 2, 0).contiguous()
        out[f"picture.{name}"] = values[::EVERY].contiguous() if size == 224 else values


def main():
    out = {}
    notes = {"texts": json.dumps(TEXTS, ensure_ascii=False),
             "pictures": json.dumps({n: dict(zip(("width", "height", "channels", "size"), v)) for n, v in PICTURES.items()})}
    hugging_face(out, notes, "hf", "quick_gelu", processor(32))
    hugging_face(out, notes, "gelu", "gelu", processor(32, image_mean=[0.5, 0.4, 0.3], image_std=[0.25, 0.5, 0.2]))
    openai(out)
    pictures(out)
    save_file(out, os.path.join(HERE, "goldens.safetensors"), metadata=notes)


if __name__ == "__main__":
    main()
