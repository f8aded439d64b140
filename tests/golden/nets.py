"""Goldens of the networks: text states, U-Net calls, VAE moments and decodes."""

import json

import numpy as np
import torch
from safetensors.torch import save_file

import kinds

SOT, EOT = 49406, 49407


def _noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _both(call):
    """`call(module_or_tensor_cast)` in f32 and in f64; returns the f32 result and how far
    it is from the f64 one (largest difference over largest value)."""
    results = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)   # transformers' causal mask is made in the default type
        with torch.no_grad():
            results.append(call(dtype))
    torch.set_default_dtype(torch.float32)
    f32, f64 = results
    error = float((f32.double() - f64).abs().max() / f64.abs().max())
    return f32.float().contiguous(), error


def _report(what, tensor, error):
    print(f"  {what:28s} {str(tuple(tensor.shape)):20s} std {float(tensor.std()):8.4f}  f32 error {error:.1e}")


def token_rows(pad):
    apple = [SOT, 320, 736, 3055, EOT]
    short = apple + [pad] * (77 - len(apple))
    empty = [SOT, EOT] + [pad] * 75
    rng = np.random.RandomState(7)
    full = [SOT] + [int(x) for x in rng.randint(0, SOT, 75)] + [EOT]
    return torch.tensor([short, empty, full], dtype=torch.int64)


def texts(folder):
    for kind, pad in (("sd1", EOT), ("sd2", 0)):
        model, ids = kinds.text(kind), token_rows(pad)
        out = {"ids": ids.to(torch.int32)}

        def last(dtype):
            return model.to(dtype)(ids).last_hidden_state

        def skip2(dtype):
            m = model.to(dtype)
            states = m(ids, output_hidden_states=True).hidden_states
            return m.text_model.final_layer_norm(states[-2])

        cases = {"last": last, "skip2": skip2} if kind == "sd1" else {"penultimate": last}
        for name, call in cases.items():
            out[name], error = _both(call)
            _report(f"text-{kind} {name}", out[name], error)
        model.to(torch.float32)
        save_file(out, f"{folder}/text-{kind}.safetensors", {"config": json.dumps(kinds.TEXTS[kind])})


def unets(folder):
    for n, kind in enumerate(kinds.UNETS):
        k, model = kinds.UNETS[kind], kinds.unet(kind)
        out = {"context": _noise(100 + n, 2, 77, k["context"])}
        if k.get("pooled"):
            out["pooled"] = _noise(150 + n, 2, k["context"])
        for case, (h, w), t in (("a", (8, 8), (981, 981)), ("b", (16, 8), (21, 21)), ("c", (8, 16), (750, 250))):
            x = _noise(200 + 10 * n + ord(case), 2, k["inputs"], h, w)

            def call(dtype):
                pooled = out["pooled"].to(dtype) if "pooled" in out else None
                return model.to(dtype)(x.to(dtype), torch.tensor(t), out["context"].to(dtype), pooled).sample

            y, error = _both(call)
            _report(f"unet-{kind} {case}", y, error)
            out[case + ".x"], out[case + ".y"] = x, y
            out[case + ".t"] = torch.tensor(t, dtype=torch.int32)
        save_file(out, f"{folder}/unet-{kind}.safetensors", {"config": json.dumps(k)})


def vaes(folder):
    for n, kind in enumerate(kinds.VAES):
        k, model, out = kinds.VAES[kind], kinds.vae(kind), {}
        factor = 2 ** (len(k["mult"]) - 1)
        for case, (h, w) in (("a", (64, 64)), ("b", (48, 64))):
            image = _noise(300 + 10 * n + ord(case), 1, 3, h, w).clamp(-2, 2) / 2
            z = _noise(400 + 10 * n + ord(case), 1, k["latent"], h // factor, w // factor)

            def moments(dtype):   # before the clamp of logvar to [-30, 20]
                m = model.to(dtype)
                return m.quant_conv(m.encoder(image.to(dtype)))

            def decoded(dtype):
                return model.to(dtype).decode(z.to(dtype)).sample

            out[case + ".image"], out[case + ".latent"] = image, z
            both, error = _both(moments)
            _report(f"vae-{kind} {case} moments", both, error)
            out[case + ".mean"], out[case + ".logvar"] = (x.contiguous() for x in both.chunk(2, 1))
            out[case + ".decoded"], error = _both(decoded)
            _report(f"vae-{kind} {case} decoded", out[case + ".decoded"], error)
        save_file(out, f"{folder}/vae-{kind}.safetensors", {"config": json.dumps(k)})


def make(folder):
    texts(folder)
    unets(folder)
    vaes(folder)
