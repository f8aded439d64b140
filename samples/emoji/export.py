# SPDX-License-Identifier: MIT
"""Makes the pack of a checkpoint: export.py CHECKPOINT.safetensors DATA_DIR OUT.safetensors

The result has the tensor names of a single-file Stable Diffusion checkpoint,
16-bit, and two metadata keys: limn.pack (JSON) and limn.merges (text).
"""
import json
import os
import sys

import weights


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    checkpoint, data, out = sys.argv[1:]
    tensors, meta = weights.load(checkpoint)
    config = json.loads(meta["config"])
    for prefix in ("cond_stage_model.", "model.diffusion_model.", "first_stage_model."):
        if not any(k.startswith(prefix) for k in tensors):
            sys.exit("no tensors named " + prefix)
    with open(os.path.join(data, "pack.json"), encoding="utf-8") as f:
        pack = json.load(f)
    with open(os.path.join(data, "merges.txt"), encoding="utf-8") as f:
        merges = f.read()
    embed = tensors["cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"]
    assert len(embed) == pack["vocabulary"] == 512 + len(merges.splitlines()) + 2
    info = {
        "format": 1, "name": "emoji", "size": pack["size"],
        "latent_scale": 1.0, "prediction": "v",
        # beta_t = min(1 - f((t+1)/1000) / f(t/1000), 0.999),
        # f(x) = cos((x + 0.008) / 1.008 * pi / 2)^2
        "schedule": {"kind": "cosine", "steps": 1000, "zero_snr": False},
        "unet": {"head_channels": config["unet"]["head_channels"], "groups": config["unet"]["groups"]},
        "vae": {"groups": config["vae"]["groups"]},
        "text": {"heads": config["text"]["heads"], "activation": "quick_gelu"},
        "defaults": {"steps": 25, "cfg": 3.5, "sampler": "ddim"},
        "concepts": pack["concepts"], "styles": pack["styles"], "colours": pack["colours"],
        "licence": "Trained on drawings of Noto Emoji (Apache-2.0), Fluent Emoji (MIT) and Twemoji (CC-BY 4.0), "
                   "with names from emojibase (MIT); see ATTRIBUTION.md",
        "training_steps": int(meta["step"]),
    }
    meta = {"format": "pt", "limn.pack": json.dumps(info, ensure_ascii=False, separators=(",", ":")),
            "limn.merges": merges}
    weights.save(out, {k: v for k, v in sorted(tensors.items())}, meta)
    print(out, len(tensors), "tensors,", os.path.getsize(out), "bytes")


if __name__ == "__main__":
    main()
