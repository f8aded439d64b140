"""Goldens of whole pictures: diffusers' pipelines over the tiny kinds, from seed to bytes."""

import json

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import kinds
import samplers
import tokens

PROMPT, NEGATIVE, SEED, STEPS, CFG = "a red apple", "blurry", 42, 10, 7.5


def scheduler(name, **options):
    cls, defaults = samplers.SCHEDULERS[name]
    return cls(**{**defaults, **samplers.SD, **options})


def source_image(size=64):
    """A picture to edit: a slope, a disc, a few hard edges; u8 [size, size, 3]."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float64) / size
    image = np.stack([x, y, 1 - x * y], -1) * 200
    image[(x - 0.35) ** 2 + (y - 0.6) ** 2 < 0.06] = (230, 40, 30)
    image[4:12, ::4] = 255
    return image.astype(np.uint8)


def source_mask(size=64):
    """White where to repaint: an L of whole and of half latent cells; u8 [size, size]."""
    mask = np.zeros((size, size), np.uint8)
    mask[12:52, 16:36] = 255
    mask[40:64, 16:60] = 255
    return mask


class Parts:
    """The modules, made once."""

    def __init__(self):
        self.fast = tokens.hugging_face()[2]
        self.sd2_fast = tokens.hugging_face()[2]
        self.sd2_fast.add_special_tokens({"pad_token": "!"})   # SD 2's tokenizer pads with id 0
        for t in (self.fast, self.sd2_fast):
            t.model_max_length = 77
        self.vae = kinds.vae("sd")
        self.texts = {kind: kinds.text(kind) for kind in kinds.TEXTS}
        self.unets = {kind: kinds.unet(kind) for kind in ("sd1", "sd1-inpaint", "sd2")}

    def pipeline(self, cls, kind, sampler):
        sd2 = kind == "sd2"
        pipe = cls(vae=self.vae, text_encoder=self.texts["sd2" if sd2 else "sd1"],
                   tokenizer=self.sd2_fast if sd2 else self.fast, unet=self.unets[kind], scheduler=sampler,
                   safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        return pipe


def cases():
    """name -> (pipeline, kind, sampler, its options, call's options)"""
    text, edit = diffusers.StableDiffusionPipeline, diffusers.StableDiffusionInpaintPipeline
    vary, v = diffusers.StableDiffusionImg2ImgPipeline, dict(prediction_type="v_prediction")
    size = dict(height=64, width=64)
    return {
        "sd1.ddim": (text, "sd1", "ddim", {}, size),
        "sd1.ddim_skip2": (text, "sd1", "ddim", {}, dict(size, clip_skip=1)),
        "sd1.euler_a_wide_n2": (text, "sd1", "euler_a", {}, dict(height=64, width=128, num_images_per_prompt=2)),
        "sd1.cfg1": (text, "sd1", "dpmpp_2m", dict(use_karras_sigmas=True), dict(size, guidance_scale=1.0)),
        "sd2_v.dpmpp_2m": (text, "sd2", "dpmpp_2m", v, size),
        "sd2_v.zero_snr": (text, "sd2", "ddim",
                           dict(v, rescale_betas_zero_snr=True, timestep_spacing="trailing"), size),
        "sd2_eps.euler": (text, "sd2", "euler", {}, size),
        "sd1_inpaint.ddim": (edit, "sd1-inpaint", "ddim", {}, dict(size, strength=1.0)),
        "sd1_inpaint.strength": (edit, "sd1-inpaint", "ddim", {}, dict(size, strength=0.6)),
        "sd1.edit": (edit, "sd1", "ddim", {}, dict(size, strength=1.0)),
        "sd1.edit_strength": (edit, "sd1", "euler_a", {}, dict(size, strength=0.6)),
        "sd1.vary": (vary, "sd1", "ddim", {}, dict(strength=0.6)),
        "sd1.vary_sde": (vary, "sd1", "dpmpp_2m_sde", {}, dict(strength=0.6)),
    }


def paint(parts, case):
    cls, kind, name, options, call = case
    pipe, latents = parts.pipeline(cls, kind, scheduler(name, **options)), []

    def keep(_pipe, _step, _time, tensors):
        latents.append(tensors["latents"].clone())
        return {}

    count = call.get("num_images_per_prompt", 1)
    generators = [torch.Generator().manual_seed(SEED + i) for i in range(count)]
    inputs = {}
    if cls is not diffusers.StableDiffusionPipeline:
        inputs["image"] = Image.fromarray(source_image())
    if cls is diffusers.StableDiffusionInpaintPipeline:
        inputs["mask_image"] = Image.fromarray(source_mask())
    call = {"guidance_scale": CFG, **call}
    images = pipe(PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, output_type="np",
                  generator=generators if count > 1 else generators[0], callback_on_step_end=keep, **call, **inputs).images
    about = {"kind": kind, "scheduler": type(pipe.scheduler).__name__, "sampler": name, "seed": SEED, "steps": STEPS,
             "prompt": PROMPT, "negative": NEGATIVE, **options, **call}
    pixels = np.ascontiguousarray((images * 255).round().astype(np.uint8))
    return torch.from_numpy(pixels), torch.stack(latents, 1).contiguous(), about


def make(folder):
    parts, out, about = Parts(), {}, {}
    for name, case in cases().items():
        out[name + ".image"], out[name + ".latents"], about[name] = paint(parts, case)
    out["image"], out["mask"] = torch.from_numpy(source_image()), torch.from_numpy(source_mask())

    def nudge(module):   # a tenth of a millionth: what another order of additions would do
        g = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(1 + 3e-7 * torch.randn(p.shape, generator=g))

    for module in (parts.vae, *parts.texts.values(), *parts.unets.values()):
        nudge(module)
    for name, case in cases().items():
        image, latents, _ = paint(parts, case)
        was, last = out[name + ".image"], out[name + ".latents"]
        pixel = int((image.int() - was.int()).abs().max())
        drift = float((latents - last).abs().max() / last.abs().max())
        flat = float(((was == 0) | (was == 255)).float().mean())
        print(f"  {name:22s} {str(tuple(was.shape)):18s} latents up to {float(last.abs().max()):7.2f}; clipped {flat:4.0%}; "
              f"nudged weights: latents {drift:.1e}, pixels {pixel}")
    save_file(out, f"{folder}/pictures.safetensors", {"cases": json.dumps(about)})
