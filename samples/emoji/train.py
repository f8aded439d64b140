# SPDX-License-Identifier: MIT
"""Trains the emoji pack: train.py --data DIR --out DIR [--vae-seconds N] [--seconds N]

Stage A trains the autoencoder and stage B encodes every picture and recoloured
copy; both are skipped when OUT/vae.safetensors exists. A short warm-up teaches
the text tower to predict the latents of a caption's picture: without it the
U-Net long ignores its captions. Stage C trains the text tower and the U-Net together.
Pictures, latents and token ids stay in memory.

Each stage lasts so many seconds of its own work: a step counts at most two
seconds, so a stopped and continued process keeps its learning-rate schedule.
The file OUT/seconds, when it exists, overrides --seconds while it runs.
SIGTERM saves and ends; the same command goes on from OUT/state.pt.

OUT receives log.txt, vae.png, sheet.png, state.pt and ckpt/STEP.safetensors
(16-bit weights of the moving average; OUT/latest names the newest).

--workers N trains stage C in N processes that exchange gradients once a step:
where other programs take turns on the cores this loses less than threads,
which wait for each other at every operation.
"""
import argparse
import contextlib
import datetime
import json
import math
import os
import signal
import time
import zlib

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

import model as M
import muon
import recolour as rc
import settings as S
import weights

STOP = False


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--vae-seconds", type=float, default=1200, help="length of stage A")
    p.add_argument("--text-seconds", type=float, default=90, help="length of the text tower's warm-up")
    p.add_argument("--start", help="checkpoint whose U-Net to start from")
    p.add_argument("--seconds", type=float, default=4800, help="length of stage C")
    p.add_argument("--batch", type=int, default=48)
    p.add_argument("--vae-batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--vae-lr", type=float, default=1.5e-3)
    p.add_argument("--base", type=float, default=.55, help="share of pictures in their own colour")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--workers", type=int, default=1, help="processes of stage C; each draws batch/N pictures")
    p.add_argument("--bf16", action="store_true", help="16-bit arithmetic where autocast allows it")
    p.add_argument("--vae-bf16", action="store_true")
    p.add_argument("--save-every", type=float, default=180)
    p.add_argument("--sheet-every", type=float, default=420)
    p.add_argument("--log-every", type=float, default=20)
    return p.parse_args()


def leading():
    return not dist.is_initialized() or dist.get_rank() == 0


class Clock:
    """Seconds worked: each tick counts at most two."""

    def __init__(self, elapsed=0.):
        self.elapsed, self.last = elapsed, time.time()

    def tick(self):
        now = time.time()
        self.elapsed += min(now - self.last, 2.)
        self.last = now
        return self.elapsed


def log(*words):
    if not leading():
        return
    line = time.strftime("[%H:%M:%S] ") + " ".join(str(w) for w in words)
    print(line, flush=True)
    with open(os.path.join(ARGS.out, "log.txt"), "a") as f:
        f.write(line + "\n")


def stage_seconds():
    try:
        with open(os.path.join(ARGS.out, "seconds")) as f:
            return float(f.read())
    except (OSError, ValueError):
        return ARGS.seconds


def autocast(device, wanted):
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else contextlib.nullcontext()


def load_data():
    """Pictures, uint8 (N,3,H,W), the base ones first; their number; captions."""
    with open(os.path.join(ARGS.data, "pack.json"), encoding="utf-8") as f:
        pack = json.load(f)
    n, size = pack["pictures"], pack["size"]
    with open(os.path.join(ARGS.data, "pictures.bin"), "rb") as f:
        planes = np.frombuffer(zlib.decompress(f.read()), np.uint8).reshape(4, n, size, size)
    rgba = np.cumsum(planes.transpose(1, 0, 2, 3), axis=2, dtype=np.uint8)     # undo the row delta
    base = torch.from_numpy(rgba)
    plan = torch.from_numpy(np.load(os.path.join(ARGS.data, "plan.npz"))["plan"].astype(np.int64))
    cap = np.load(os.path.join(ARGS.data, "captions.npz"))
    out = []
    for x in base.split(256):
        out.append((rc.on_white(x.float() / 255) * 255 + .5).clamp(0, 255).byte())
    for q in plan.split(256):
        x = rc.recolour(base[q[:, 0]].float() / 255, q[:, 1], q[:, 2].bool())
        out.append((rc.on_white(x) * 255 + .5).clamp(0, 255).byte())
    ids = np.full((len(cap["ids"]), S.LENGTH), pack["end"], np.int64)
    ids[:, :cap["ids"].shape[1]] = cap["ids"]
    return torch.cat(out), n, torch.from_numpy(ids), torch.from_numpy(cap["index"].astype(np.int64)), pack


def to_unit(x):
    return x.float() / 127.5 - 1


def to_bytes(x):
    return ((x.float().clamp(-1, 1) + 1) * 127.5 + .5).clamp(0, 255).byte()


def tiles(x, columns):
    """(N,3,H,W) uint8 -> one picture (rows,columns,3)."""
    n, c, h, w = x.shape
    rows = (n + columns - 1) // columns
    out = torch.full((rows * columns, c, h + 2, w + 2), 200, dtype=torch.uint8)
    out[:n, :, 1:-1, 1:-1] = x.cpu()
    out = out.reshape(rows, columns, c, h + 2, w + 2).permute(0, 3, 1, 4, 2)
    return out.reshape(rows * (h + 2), columns * (w + 2), c).contiguous().numpy()


def optimiser(params, lr, decay):
    kw = dict(lr=lr, betas=(.9, .99), weight_decay=decay)
    try:
        return torch.optim.AdamW(params, fused=True, **kw)
    except (RuntimeError, TypeError, ValueError):       # older versions, on the CPU
        return torch.optim.AdamW(params, **kw)


def rate(progress, step, warm):
    """Warm-up by step, then cosine decay to 2 % by the stage's clock."""
    return min(1, (step + 1) / warm) * (.02 + .98 * .5 * (1 + math.cos(math.pi * min(1, max(0, progress)))))


def vae_loss(vae, x, device):
    """Absolute and squared error, error of the edges at two scales, a weak KL term."""
    def edges(d):
        return (d[..., :, 1:] - d[..., :, :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()

    with autocast(device, ARGS.vae_bf16):
        mean, logvar = vae.encode(x)
        mean, logvar = mean.float(), logvar.float().clamp(-12, 6)
        y = vae.decode(mean + torch.randn_like(mean) * (logvar * .5).exp()).float()
    diff = y - x
    mse = diff.square().mean()
    kl = .5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss = diff.abs().mean() + 2 * mse + .5 * (edges(diff) + edges(F.avg_pool2d(diff, 2))) + 5e-4 * kl
    return loss, mse


def train_vae(vae, pictures, device, seconds):
    params = list(vae.parameters())
    opt = optimiser(params, ARGS.vae_lr, 1e-4)
    ema = [p.detach().clone() for p in params]
    clock, logged, step, sums, count, b = Clock(), 0., 0, torch.zeros(2), 0, ARGS.vae_batch
    while not STOP and clock.tick() < seconds:
        for g in opt.param_groups:
            g["lr"] = ARGS.vae_lr * rate(clock.elapsed / seconds, step, 100)
        x = to_unit(pictures[torch.randint(len(pictures), (b,))]).to(device)
        if step % 2:
            x = x.flip(3)
        loss, mse = vae_loss(vae, x, device)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        average(ema, params, min(.995, (1 + step) / (10 + step)))
        step += 1
        sums += torch.stack([loss.detach(), mse.detach()]).cpu()
        count += 1
        if clock.elapsed - logged > ARGS.log_every:
            a, m = (sums / count).tolist()
            log(f"vae step {step} img/s {step * b / clock.elapsed:.0f} loss {a:.4f} "
                f"psnr {10 * math.log10(4 / max(m, 1e-9)):.2f}")
            if not math.isfinite(a):
                raise RuntimeError("the autoencoder's loss is not finite")
            sums.zero_()
            count, logged = 0, clock.elapsed
    with torch.no_grad():
        for p, e in zip(params, ema):
            p.copy_(e)
    log(f"vae: {step} steps, {step * b} pictures")


def average(ema, params, keep):
    with torch.no_grad():
        torch._foreach_lerp_(ema, [p.detach() for p in params], 1 - keep)


@torch.no_grad()
def encode_all(vae, pictures, device):
    """Latent means of every picture, f32."""
    return torch.cat([vae.encode(to_unit(x).to(device))[0].float() for x in pictures.split(64)])


@torch.no_grad()
def vae_report(vae, pictures, latents):
    pick = torch.linspace(0, len(pictures) - 1, 96).long()
    y = torch.cat([vae.decode(z) for z in latents[pick].split(16)]).cpu()
    x = to_unit(pictures[pick])
    mse = ((y.clamp(-1, 1) - x) / 2).square().mean((1, 2, 3)).clamp_min(1e-8)
    log(f"autoencoder: mean PSNR of {len(pick)} pictures {(-10 * mse.log10()).mean().item():.2f} dB")
    both = torch.stack([to_bytes(x), to_bytes(y)], 1).flatten(0, 1)
    weights.save_png(os.path.join(ARGS.out, "vae.png"), tiles(both, 16))


def train_text(text, latents, ids, index, bases, device, seconds):
    """The last sixteen positions of the text tower's output must give the sixteen
    4x4 patches of the picture's latents, through one linear layer."""
    patches = F.unfold(latents, 4, stride=4).permute(0, 2, 1).contiguous()
    count = patches.shape[1]
    assert S.LENGTH - count >= 16               # the patches stand after the words
    head = torch.nn.Linear(S.NETWORKS["text"]["width"], patches.shape[2]).to(device)
    params = list(text.parameters()) + list(head.parameters())
    opt = optimiser(params, 3e-3, 0.)
    clock, step, logged, b, sums, n = Clock(), 0, 0., 64, 0., 0
    while not STOP and clock.tick() < seconds:
        for g in opt.param_groups:
            g["lr"] = 3e-3 * rate(clock.elapsed / seconds, step, 50)
        pick = pick_pictures(b, bases, len(latents))
        caption = ids[index[pick, torch.randint(index.shape[1], (b,))]].to(device)
        loss = (head(text(caption)[:, -count:]) - patches[pick.to(device)]).square().mean()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        step, sums, n = step + 1, sums + loss.item(), n + 1
        if clock.elapsed - logged > ARGS.log_every:
            log(f"text step {step} error {sums / n:.3f} of 1")
            logged, sums, n = clock.elapsed, 0., 0


def pick_pictures(b, bases, total):
    """Numbers of b pictures, ARGS.base of them in their own colour."""
    own = torch.randint(bases, (b,))
    if total == bases:
        return own
    return torch.where(torch.rand(b) < ARGS.base, own, torch.randint(bases, total, (b,)))


class Batches:
    """Draws pictures, captions, noise and evenly spread times."""

    def __init__(self, latents, bases, ids, index, device):
        self.latents, self.bases, self.ids, self.index, self.device = latents, bases, ids, index, device
        ab = M.alphas_cumprod()
        self.signals, self.sigmas = ab.sqrt().float(), (1 - ab).sqrt().float()

    def draw(self, b, power):
        pick = pick_pictures(b, self.bases, len(self.latents))
        caption = self.index[pick, torch.randint(self.index.shape[1], (b,))]
        t = (((torch.arange(b) + torch.rand(b)) / b) ** power * 1000).long().clamp(0, 999)
        z, noise = self.latents[pick], torch.randn(b, *self.latents.shape[1:])
        signal, sigma = self.signals[t][:, None, None, None], self.sigmas[t][:, None, None, None]
        out = signal * z + sigma * noise, t, self.ids[caption], signal * noise - sigma * z
        return [x.to(self.device) for x in out]


def time_power(progress):
    """Times are 1000 u ** power. The pictures are first decided at the late times,
    where only the caption helps, so the training begins mostly there; the early
    times, where there is little but noise to predict, stay rarer than the rest."""
    return .3 + .35 * min(1., max(0., (progress - .3) / .4))


def train_diffusion(models, batches, pack, device):
    text, unet = models["text"], models["unet"]
    params = list(text.parameters()) + list(unet.parameters())
    named = [(f"{k}.{n}", p) for k in ("text", "unet") for n, p in models[k].named_parameters()]
    opt, gradients = muon.Optimiser(named, device.type == "cuda" or torch.__version__ >= "2.4"), Gradients(params)
    ema_models = dict(zip(("text", "unet"), M.build(S.NETWORKS, pack["vocabulary"])[:2]), vae=models["vae"])
    for kind in ("text", "unet"):
        ema_models[kind].load_state_dict(models[kind].state_dict())
        ema_models[kind].to(device).requires_grad_(False)
    ema = list(ema_models["text"].parameters()) + list(ema_models["unet"].parameters())
    n, clock = 0, Clock()
    path = os.path.join(ARGS.out, "state.pt")
    if os.path.exists(path):
        state = torch.load(path, map_location=device)
        for p, e, a, b in zip(params, ema, state["params"], state["ema"]):
            p.data.copy_(a)
            e.copy_(b)
        opt.restore(state["opt"])
        n, clock = state["step"], Clock(state["elapsed"])
        torch.manual_seed(n + torch.initial_seed())
        log(f"going on from step {n}, second {clock.elapsed:.0f}")
    sheet = Sheet(pack, device)
    per_worker = ARGS.batch // ARGS.workers
    log(f"stage C: {sum(p.numel() for p in params)} parameters, {len(batches.latents)} latents "
        f"({batches.bases} in their own colour), batch {ARGS.batch}, {ARGS.workers} workers")
    length, logged, mark, saved, sheeted = stage_seconds(), clock.elapsed, n, clock.elapsed, clock.elapsed
    sums, count = 0., 0
    while True:
        x, t, ids, target = batches.draw(per_worker, time_power(clock.elapsed / length))
        with autocast(device, ARGS.bf16):
            v = unet(x, t, text(ids))
        loss = F.mse_loss(v.float(), target)
        gradients.flat.zero_()
        loss.backward()
        progress = gradients.share(2. if STOP else clock.tick() / length)
        if progress >= 1:
            break
        lr = ARGS.lr * rate(progress, n, 50)
        opt.step(lr)
        n += 1
        average(ema, params, min(.999, (1 + n) / (10 + n)))
        sums, count = sums + loss.detach(), count + 1
        if not leading():
            continue
        if clock.elapsed - logged > ARGS.log_every:
            mean = float(sums) / count
            if not math.isfinite(mean):
                raise RuntimeError("the loss is not finite; go on from the last state")
            log(f"step {n} img/s {(n - mark) * ARGS.batch / (clock.elapsed - logged):.0f} "
                f"pictures {n * ARGS.batch / 1000:.0f}k loss {mean:.4f} "
                f"lr {lr:.2e} second {clock.elapsed:.0f} of {length:.0f}")
            sums, count, logged, mark, length = 0., 0, clock.elapsed, n, stage_seconds()
        if clock.elapsed - saved > ARGS.save_every:
            save(ema_models, params, ema, opt, n, clock.elapsed)
            saved = clock.elapsed
        if clock.elapsed - sheeted > ARGS.sheet_every:
            sheet.draw(ema_models, n)
            sheeted = clock.elapsed
    if leading():
        save(ema_models, params, ema, opt, n, clock.elapsed)
        sheet.draw(ema_models, n)
    log(f"done: {n} steps, {n * ARGS.batch} pictures, {clock.elapsed:.0f} s")


class Gradients:
    """The gradients of all parameters as one array, averaged over the workers."""

    def __init__(self, params):
        self.flat = params[0].new_zeros(sum(p.numel() for p in params) + 1)
        at = 0
        for p in params:
            p.grad = self.flat[at:at + p.numel()].view_as(p)
            at += p.numel()

    def share(self, progress):
        """Returns the first worker's progress."""
        if dist.is_initialized():
            n = dist.get_world_size()
            self.flat[-1] = progress * n if leading() else 0.
            dist.all_reduce(self.flat)
            self.flat /= n
            progress = self.flat[-1].item()
        return progress


class Sheet:
    """The sample prompts drawn with the averaged weights, always from the same noise."""

    def __init__(self, pack, device):
        self.ids = torch.tensor([p["ids"] for p in pack["prompts"]] + [pack["empty"]]).to(device)
        z = S.NETWORKS["vae"]["latent"], pack["size"] // 4, pack["size"] // 4
        self.noise = torch.cat([torch.randn(1, *z, generator=torch.Generator().manual_seed(i + 1))
                                for i in range(len(self.ids) - 1)]).to(device)

    @torch.no_grad()
    def draw(self, models, n):
        begin = time.time()
        context = models["text"](self.ids)
        z = M.sample(models["unet"], context[:-1], context[-1:], self.noise)
        x = torch.cat([to_bytes(models["vae"].decode(q)) for q in z.split(12)])
        weights.save_png(os.path.join(ARGS.out, "sheet.png"), tiles(x, 12))
        weights.save_png(os.path.join(ARGS.out, f"sheet-{n:06d}.png"), tiles(x, 12))
        log(f"sheet at step {n} ({time.time() - begin:.1f} s)")


def halved(models):
    out = {}
    for kind, m in models.items():
        for name, p in m.state_dict().items():
            out[M.PREFIX[kind] + name] = p.detach().half().contiguous().cpu().numpy()
    return out


def save(models, params, ema, opt, n, elapsed):
    """The averaged weights in 16 bits, and everything needed to go on."""
    root = os.path.join(ARGS.out, "ckpt")
    os.makedirs(root, exist_ok=True)
    weights.save(os.path.join(root, f"{n:07d}.safetensors"), halved(models),
                 dict(step=str(n), config=json.dumps(S.NETWORKS)))
    path = os.path.join(ARGS.out, "state.pt")
    torch.save(dict(step=n, elapsed=elapsed, params=[p.detach() for p in params], ema=ema,
                    opt=opt.state()), path + ".tmp")
    os.replace(path + ".tmp", path)
    with open(os.path.join(ARGS.out, "latest.tmp"), "w") as f:
        f.write(f"ckpt/{n:07d}.safetensors\n")
    os.replace(os.path.join(ARGS.out, "latest.tmp"), os.path.join(ARGS.out, "latest"))
    for old in sorted(os.listdir(root))[:-3]:
        os.remove(os.path.join(root, old))
    log(f"saved step {n}")


def prepare_vae(vae, pictures, device):
    """Loads the autoencoder, or trains it and makes its latents standard."""
    path, prefix = os.path.join(ARGS.out, "vae.safetensors"), M.PREFIX["vae"]
    if not os.path.exists(path):
        train_vae(vae, pictures, device, ARGS.vae_seconds)
        latents = encode_all(vae, pictures, device)
        vae.standardise(latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
        weights.save(path, halved(dict(vae=vae)))
    # from here on exactly what the 16-bit file holds
    tensors = weights.load(path)[0]
    vae.load_state_dict({k[len(prefix):]: torch.from_numpy(v.astype(np.float32)) for k, v in tensors.items()})
    vae.eval().requires_grad_(False)


def start_from(path, unet):
    """Takes over the tensors that fit; the rest keeps its first values."""
    prefix, own, taken = M.PREFIX["unet"], unet.state_dict(), 0
    for name, x in weights.load(path)[0].items():
        name = name[len(prefix):] if name.startswith(prefix) else None
        if name in own and own[name].shape == x.shape:
            own[name].copy_(torch.from_numpy(x.astype(np.float32)))
            taken += 1
    log(f"{taken} of the U-Net's {len(own)} tensors from {path}")


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(1)
    torch.set_flush_denormal(True)
    if device.type == "cpu":
        torch.set_num_threads(ARGS.threads)
    log("torch", torch.__version__, "on", device)
    pictures, bases, ids, index, pack = load_data()
    log(f"{len(pictures)} pictures ({bases} base), {len(ids)} captions, vocabulary {pack['vocabulary']}")
    text, unet, vae = (m.to(device) for m in M.build(S.NETWORKS, pack["vocabulary"]))
    prepare_vae(vae, pictures, device)
    latents = encode_all(vae, pictures, device)
    log(f"latents {tuple(latents.shape)} std by channel",
        [round(s, 3) for s in latents.std((0, 2, 3)).tolist()], f"largest {latents.abs().max().item():.1f}")
    vae_report(vae, pictures, latents)
    if ARGS.start:
        start_from(ARGS.start, unet)
    if not os.path.exists(os.path.join(ARGS.out, "state.pt")):
        train_text(text, latents, ids, index, bases, device, ARGS.text_seconds)
    if STOP:
        return
    for rank in range(1, ARGS.workers):
        if os.fork() == 0:
            join_workers(rank)
            break
    else:
        join_workers(0)
    train_diffusion(dict(text=text, unet=unet, vae=vae),
                    Batches(latents.cpu(), bases, ids, index, device), pack, device)


def join_workers(rank):
    if ARGS.workers == 1:
        return
    torch.manual_seed(1 + rank)
    store = dist.FileStore(os.path.join(ARGS.out, f"workers-{os.getppid() if rank else os.getpid()}"), ARGS.workers)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ARGS.workers,
                            timeout=datetime.timedelta(days=1))


def stop(*_):
    global STOP
    STOP = True


if __name__ == "__main__":
    ARGS = arguments()
    os.makedirs(ARGS.out, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    main()
