"""Goldens of the samplers: diffusers' schedulers driven by a cheap stand-in for a U-Net.

    model(x, t) = x * (0.3 + 0.4 * t / 1000) + 0.1 * c        x: the *scaled* model input

`c`, the first noise and the noise of every stochastic step are stored, so that a test needs
no generator.  Every case keeps its times, sigmas where it has them, and the latents after each step.
"""

import json

import diffusers
import torch
from diffusers.schedulers import (scheduling_ddim, scheduling_ddpm, scheduling_dpmsolver_multistep,
                                  scheduling_euler_ancestral_discrete, scheduling_euler_discrete, scheduling_lcm)
from safetensors.torch import save_file

SHAPE = (1, 4, 4, 4)
SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
LINEAR = dict(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
COSINE = dict(beta_schedule="squaredcos_cap_v2")
ZERO_SNR = dict(SD, rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")
V, X0 = dict(prediction_type="v_prediction"), dict(prediction_type="sample")
LEADING, LINSPACE, TRAILING = (dict(timestep_spacing=s) for s in ("leading", "linspace", "trailing"))
KARRAS = dict(use_karras_sigmas=True)

SCHEDULERS = {   # class, and what Stable Diffusion's own configuration adds to the class's defaults
    "ddpm": (diffusers.DDPMScheduler, dict(clip_sample=False, steps_offset=1)),
    "ddim": (diffusers.DDIMScheduler, dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1)),
    "euler": (diffusers.EulerDiscreteScheduler, dict(steps_offset=1)),
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, dict(steps_offset=1)),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, dict(steps_offset=1)),
    "dpmpp_2m_sde": (diffusers.DPMSolverMultistepScheduler, dict(steps_offset=1, algorithm_type="sde-dpmsolver++")),
    "lcm": (diffusers.LCMScheduler, dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1)),
}


def cases():
    """name -> (scheduler, options, run); run may hold eta, steps and strength."""
    out = {}

    def add(name, options=None, base=SD, **run):
        out[name] = (name.split(".")[0], {**base, **(options or {})}, run)

    spacings = (("leading", LEADING), ("linspace", LINSPACE), ("trailing", TRAILING))
    for s in SCHEDULERS:
        if s != "lcm":
            for label, spacing in spacings:
                add(f"{s}.{label}", spacing)
        add(f"{s}.v", V)
        add(f"{s}.linear", base=LINEAR)
        add(f"{s}.cosine", base=COSINE)
        add(f"{s}.zero_snr", base=ZERO_SNR if s != "lcm" else {**SD, **V, "rescale_betas_zero_snr": True})
        add(f"{s}.strength", strength=0.6)
        if s not in ("euler", "euler_a"):
            add(f"{s}.x0", X0)
    for s in ("euler", "dpmpp_2m", "dpmpp_2m_sde"):
        add(f"{s}.karras", KARRAS)
        add(f"{s}.karras_v", {**KARRAS, **V})
        add(f"{s}.karras_strength", KARRAS, strength=0.6)
    for label, spacing in spacings:
        add(f"ddim.eta_{label}", spacing, eta=0.5)
    add("ddim.eta_v", V, eta=0.5)
    add("ddim.eta_1", eta=1.0)
    add("ddim.eta_zero_snr", base=ZERO_SNR, eta=0.5)
    add("ddim.alpha_to_one", dict(set_alpha_to_one=True))
    for s in SCHEDULERS:
        add(f"{s}.steps_7", steps=7)
        add(f"{s}.steps_1", steps=1)
    for s in ("ddpm", "ddim"):   # a number of steps that does not divide 1000
        add(f"{s}.trailing_7", TRAILING, steps=7)
        add(f"{s}.linspace_7", LINSPACE, steps=7)
    add("dpmpp_2m.steps_20", steps=20)
    add("dpmpp_2m_sde.steps_20", steps=20)
    add("dpmpp_2m.steps_2", steps=2)
    add("lcm.steps_4", steps=4)
    return out


def next_of_its_own(scheduler, time):
    """DDPM's previous time as diffusers has it since 0.32; before that it was time - 1000 // n, whatever the spacing."""
    at = (scheduler.timesteps == time).nonzero(as_tuple=True)[0][0]
    return scheduler.timesteps[at + 1] if at + 1 < len(scheduler.timesteps) else torch.tensor(-1)


diffusers.DDPMScheduler.previous_timestep = next_of_its_own


class Noise:
    """Stands in for randn_tensor in the scheduler modules: hands out the stored noise in order."""

    MODULES = (scheduling_ddim, scheduling_ddpm, scheduling_dpmsolver_multistep,
               scheduling_euler_ancestral_discrete, scheduling_euler_discrete, scheduling_lcm)

    def __init__(self, stored):
        self.stored, self.used, self.original = stored, 0, self.MODULES[0].randn_tensor

    def __enter__(self):
        for module in self.MODULES:
            module.randn_tensor = self
        return self

    def __exit__(self, *_):
        for module in self.MODULES:
            module.randn_tensor = self.original

    def __call__(self, shape, **_):
        assert tuple(shape) == SHAPE
        self.used += 1
        return self.stored[self.used - 1]


def model(x, t, c):
    return x * (0.3 + 0.4 * float(t) / 1000.0) + 0.1 * c


def run_case(out, name, case, common, noise):
    kind, options, run = case
    cls, defaults = SCHEDULERS[kind]
    scheduler = cls(**{**defaults, **options})
    steps = run.get("steps", 10)
    scheduler.set_timesteps(steps)
    times, start = scheduler.timesteps, 0
    if "strength" in run:   # as StableDiffusionImg2ImgPipeline.get_timesteps
        start = max(steps - min(int(steps * run["strength"]), steps), 0)
        times = times[start:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(start)
        x = scheduler.add_noise(common["x0"], common["noise0"], times[:1])
    else:
        x = common["noise0"] * scheduler.init_noise_sigma
    noise.used, latents, first = 0, [], x
    extra = {"eta": run["eta"]} if "eta" in run else {}
    for t in times:
        y = model(scheduler.scale_model_input(x, t), t, common["c"])
        x = scheduler.step(y, t, x, return_dict=False, **extra)[0]
        latents.append(x)
    # Euler draws noise at every step and multiplies it by s_churn = 0.
    drawn = 0 if kind == "euler" else noise.used
    out[name + ".times"] = times.float()
    out[name + ".first"] = first.clone()
    out[name + ".latents"] = torch.cat(latents)
    if hasattr(scheduler, "sigmas"):
        out[name + ".sigmas"] = scheduler.sigmas[start:].float().clone()
    assert torch.isfinite(out[name + ".latents"]).all(), name
    config = {k: v for k, v in scheduler.config.items()   # JSON has no -Infinity
              if not k.startswith("_") and k not in ("trained_betas", "lambda_min_clipped")}
    return {"scheduler": cls.__name__, "config": config, "steps": steps, "start": start,
                       "noise_used": drawn, **run}


def make(folder):
    def draw(seed, *shape):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    common = {"noise0": draw(1, *SHAPE), "c": draw(2, *SHAPE), "x0": draw(3, *SHAPE)}
    stored = draw(4, 20, *SHAPE)
    out, about = dict(common, noise=stored[:, 0].contiguous()), {}
    with Noise(stored) as noise:
        for name, case in cases().items():
            about[name] = run_case(out, name, case, common, noise)
    for name, options in (("scaled_linear", SD), ("linear", LINEAR), ("cosine", COSINE), ("zero_snr", ZERO_SNR)):
        out["alphas_cumprod." + name] = diffusers.DDIMScheduler(**options).alphas_cumprod.clone()
    save_file(out, f"{folder}/samplers.safetensors", {"cases": json.dumps(about)})
    print(f"  {len(about)} cases")
