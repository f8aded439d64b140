"""Tiny models of every supported kind: tensor names and shapes as the published
single-file checkpoints have them, and the same models as diffusers/transformers modules.

The lists are written from the layout of the original latent-diffusion code; diffusers'
own converters then turn them into its modules with strict loading, so a wrong name or
shape fails here.
"""

import os
import tempfile

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import convert_from_ckpt as convert
from transformers import CLIPTextConfig, CLIPTextModel

import rule

VOCAB = 49408

# A level's multiplier times `channels` is its width; `attention` counts the leading levels
# that have cross-attention, or lists them.  `heads` is a number of heads, `head_size` a width
# per head.  With `pooled` a vector as wide as the context is added to the time embedding
# (label_emb, as in SDXL).
UNETS = {
    "sd1": dict(channels=32, mult=(1, 2, 4, 4), inputs=4, outputs=4, context=128, heads=8,
                attention=3, linear=False, groups=32),
    "sd1-inpaint": dict(channels=32, mult=(1, 2, 4, 4), inputs=9, outputs=4, context=128, heads=8,
                        attention=3, linear=False, groups=32),
    "sd2": dict(channels=64, mult=(1, 2, 2, 2), inputs=4, outputs=4, context=128, head_size=64,
                attention=3, linear=True, groups=32),
    "pack": dict(channels=32, mult=(1, 2), inputs=8, outputs=8, context=128, heads=4,
                 attention=2, linear=True, groups=16),
    "pooled": dict(channels=48, mult=(1, 2), inputs=4, outputs=4, context=64, head_size=32,
                   attention=(1,), linear=False, groups=8, pooled=True),
}
TEXTS = {
    "sd1": dict(width=128, layers=3, act="quick_gelu"),
    "sd2": dict(width=128, layers=3, act="gelu"),   # the last block is in the file, unused
}
VAES = {
    "sd": dict(channels=32, mult=(1, 2, 4, 4), latent=4, groups=32),
    "pack": dict(channels=16, mult=(1, 2, 4), latent=8, groups=16),
}
UNET, VAE = "model.diffusion_model.", "first_stage_model."


# ---------------------------------------------------------------- names and shapes

def _affine(out, name, *shape):
    out[name + ".weight"] = tuple(shape)
    out[name + ".bias"] = (shape[0],)


def _norm(out, name, c):
    _affine(out, name, c)


def _unet_res(out, p, cin, cout, temb):
    _norm(out, p + ".in_layers.0", cin)
    _affine(out, p + ".in_layers.2", cout, cin, 3, 3)
    _affine(out, p + ".emb_layers.1", cout, temb)
    _norm(out, p + ".out_layers.0", cout)
    _affine(out, p + ".out_layers.3", cout, cout, 3, 3)
    if cin != cout:
        _affine(out, p + ".skip_connection", cout, cin, 1, 1)


def _unet_attention(out, p, c, context, linear):
    proj = (c, c) if linear else (c, c, 1, 1)
    _norm(out, p + ".norm", c)
    _affine(out, p + ".proj_in", *proj)
    b = p + ".transformer_blocks.0"
    for attn, source in (("attn1", c), ("attn2", context)):
        out[f"{b}.{attn}.to_q.weight"] = (c, c)
        out[f"{b}.{attn}.to_k.weight"] = (c, source)
        out[f"{b}.{attn}.to_v.weight"] = (c, source)
        _affine(out, f"{b}.{attn}.to_out.0", c, c)
    _affine(out, b + ".ff.net.0.proj", 8 * c, c)
    _affine(out, b + ".ff.net.2", c, 4 * c)
    for i in (1, 2, 3):
        _norm(out, f"{b}.norm{i}", c)
    _affine(out, p + ".proj_out", *proj)


def _crosses(k, level):
    a = k["attention"]
    return level < a if isinstance(a, int) else level in a


def unet_tensors(kind):
    k, out = UNETS[kind], {}
    c, mult = k["channels"], k["mult"]
    temb, top = 4 * c, len(mult) - 1
    _affine(out, UNET + "time_embed.0", temb, c)
    _affine(out, UNET + "time_embed.2", temb, temb)
    if k.get("pooled"):
        _affine(out, UNET + "label_emb.0.0", temb, k["context"])
        _affine(out, UNET + "label_emb.0.2", temb, temb)
    _affine(out, UNET + "input_blocks.0.0", c, k["inputs"], 3, 3)
    skips, width, n = [c], c, 0
    for level, m in enumerate(mult):
        for _ in range(2):
            n += 1
            _unet_res(out, f"{UNET}input_blocks.{n}.0", width, m * c, temb)
            width = m * c
            if _crosses(k, level):
                _unet_attention(out, f"{UNET}input_blocks.{n}.1", width, k["context"], k["linear"])
            skips.append(width)
        if level != top:
            n += 1
            _affine(out, f"{UNET}input_blocks.{n}.0.op", width, width, 3, 3)
            skips.append(width)
    _unet_res(out, UNET + "middle_block.0", width, width, temb)
    _unet_attention(out, UNET + "middle_block.1", width, k["context"], k["linear"])
    _unet_res(out, UNET + "middle_block.2", width, width, temb)
    n = 0
    for level in range(top, -1, -1):
        for i in range(3):
            p = f"{UNET}output_blocks.{n}"
            _unet_res(out, p + ".0", width + skips.pop(), mult[level] * c, temb)
            width = mult[level] * c
            attention = _crosses(k, level)
            if attention:
                _unet_attention(out, p + ".1", width, k["context"], k["linear"])
            if i == 2 and level > 0:
                _affine(out, f"{p}.{2 if attention else 1}.conv", width, width, 3, 3)
            n += 1
    _norm(out, UNET + "out.0", c)
    _affine(out, UNET + "out.2", k["outputs"], c, 3, 3)
    return out


def _vae_res(out, p, cin, cout):
    _norm(out, p + ".norm1", cin)
    _affine(out, p + ".conv1", cout, cin, 3, 3)
    _norm(out, p + ".norm2", cout)
    _affine(out, p + ".conv2", cout, cout, 3, 3)
    if cin != cout:
        _affine(out, p + ".nin_shortcut", cout, cin, 1, 1)


def _vae_mid(out, p, c):
    _vae_res(out, p + ".block_1", c, c)
    _norm(out, p + ".attn_1.norm", c)
    for leaf in ("q", "k", "v", "proj_out"):
        _affine(out, f"{p}.attn_1.{leaf}", c, c, 1, 1)
    _vae_res(out, p + ".block_2", c, c)


def vae_tensors(kind):
    k, out = VAES[kind], {}
    c, mult, z = k["channels"], k["mult"], k["latent"]
    top = len(mult) - 1
    e, d = VAE + "encoder", VAE + "decoder"
    _affine(out, e + ".conv_in", c, 3, 3, 3)
    width = c
    for level, m in enumerate(mult):
        for i in range(2):
            _vae_res(out, f"{e}.down.{level}.block.{i}", width, m * c)
            width = m * c
        if level != top:
            _affine(out, f"{e}.down.{level}.downsample.conv", width, width, 3, 3)
    _vae_mid(out, e + ".mid", width)
    _norm(out, e + ".norm_out", width)
    _affine(out, e + ".conv_out", 2 * z, width, 3, 3)
    _affine(out, VAE + "quant_conv", 2 * z, 2 * z, 1, 1)
    _affine(out, VAE + "post_quant_conv", z, z, 1, 1)
    _affine(out, d + ".conv_in", width, z, 3, 3)
    _vae_mid(out, d + ".mid", width)
    for level in range(top, -1, -1):
        for i in range(3):
            _vae_res(out, f"{d}.up.{level}.block.{i}", width, mult[level] * c)
            width = mult[level] * c
        if level > 0:
            _affine(out, f"{d}.up.{level}.upsample.conv", width, width, 3, 3)
    _norm(out, d + ".norm_out", width)
    _affine(out, d + ".conv_out", 3, width, 3, 3)
    return out


def text_tensors(kind):
    k, out = TEXTS[kind], {}
    w = k["width"]
    if kind == "sd1":
        p = "cond_stage_model.transformer.text_model."
        out[p + "embeddings.token_embedding.weight"] = (VOCAB, w)
        out[p + "embeddings.position_embedding.weight"] = (77, w)
        for i in range(k["layers"]):
            b = f"{p}encoder.layers.{i}."
            for leaf in ("q_proj", "k_proj", "v_proj", "out_proj"):
                _affine(out, b + "self_attn." + leaf, w, w)
            _norm(out, b + "layer_norm1", w)
            _norm(out, b + "layer_norm2", w)
            _affine(out, b + "mlp.fc1", 4 * w, w)
            _affine(out, b + "mlp.fc2", w, 4 * w)
        _norm(out, p + "final_layer_norm", w)
        return out
    p = "cond_stage_model.model."
    out[p + "token_embedding.weight"] = (VOCAB, w)
    out[p + "positional_embedding"] = (77, w)
    out[p + "text_projection"] = (w, w)
    for i in range(k["layers"]):
        b = f"{p}transformer.resblocks.{i}."
        out[b + "attn.in_proj_weight"] = (3 * w, w)
        out[b + "attn.in_proj_bias"] = (3 * w,)
        _affine(out, b + "attn.out_proj", w, w)
        _norm(out, b + "ln_1", w)
        _norm(out, b + "ln_2", w)
        _affine(out, b + "mlp.c_fc", 4 * w, w)
        _affine(out, b + "mlp.c_proj", w, 4 * w)
    _norm(out, p + "ln_final", w)
    return out


# ---------------------------------------------------------------- as library modules

def state(tensors):
    return {name: torch.from_numpy(rule.weight(name, shape)) for name, shape in tensors.items()}


def unet(kind):
    k = UNETS[kind]
    widths = [m * k["channels"] for m in k["mult"]]
    levels = len(widths)
    cross = [_crosses(k, i) for i in range(levels)]
    heads = tuple(max(w // k["head_size"], 1) for w in widths) if "head_size" in k else k["heads"]
    pooled = dict(class_embed_type="projection", projection_class_embeddings_input_dim=k["context"]) \
        if k.get("pooled") else {}
    model = UNet2DConditionModel(
        in_channels=k["inputs"], out_channels=k["outputs"], layers_per_block=2,
        block_out_channels=widths, norm_num_groups=k["groups"],
        down_block_types=["CrossAttnDownBlock2D" if x else "DownBlock2D" for x in cross],
        up_block_types=["CrossAttnUpBlock2D" if x else "UpBlock2D" for x in reversed(cross)],
        cross_attention_dim=k["context"], attention_head_dim=heads,
        use_linear_projection=k["linear"], sample_size=8, **pooled)
    weights = convert.convert_ldm_unet_checkpoint(state(unet_tensors(kind)), dict(model.config))
    model.load_state_dict(weights, strict=True)
    return model.eval()


def vae(kind):
    k = VAES[kind]
    widths = [m * k["channels"] for m in k["mult"]]
    model = AutoencoderKL(
        in_channels=3, out_channels=3, layers_per_block=2, latent_channels=k["latent"],
        block_out_channels=widths, norm_num_groups=k["groups"],
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths), sample_size=64)
    weights = convert.convert_ldm_vae_checkpoint(state(vae_tensors(kind)), dict(model.config))
    model.load_state_dict(weights, strict=True)
    return model.eval()


def text(kind):
    k = TEXTS[kind]
    layers = k["layers"] - (kind == "sd2")   # SD 2's module has no last block at all
    config = CLIPTextConfig(
        vocab_size=VOCAB, hidden_size=k["width"], intermediate_size=4 * k["width"],
        projection_dim=k["width"], num_hidden_layers=layers, hidden_act=k["act"],
        num_attention_heads=k["width"] // 64, max_position_embeddings=77,
        bos_token_id=49406, eos_token_id=49407)
    weights = state(text_tensors(kind))
    if kind == "sd1":
        blank = CLIPTextModel(config)
        for p in blank.parameters():
            torch.nn.init.constant_(p, float("nan"))   # anything the converter misses shows
        return convert.convert_ldm_clip_checkpoint(weights, text_encoder=blank).eval()
    weights = {n: w for n, w in weights.items() if f".resblocks.{layers}." not in n}
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        model = convert.convert_open_clip_checkpoint(
            weights, folder, has_projection=True, local_files_only=True)
    assert not any(p.is_meta or p.isnan().any() for p in model.parameters())
    plain = CLIPTextModel(config)   # the pipelines want the module without the projection
    plain.text_model.load_state_dict(model.text_model.state_dict(), strict=True)
    return plain.eval()


LISTS = {
    "unet-sd1": lambda: unet_tensors("sd1"),
    "unet-sd1-inpaint": lambda: unet_tensors("sd1-inpaint"),
    "unet-sd2": lambda: unet_tensors("sd2"),
    "unet-pack": lambda: unet_tensors("pack"),
    "unet-pooled": lambda: unet_tensors("pooled"),
    "text-sd1": lambda: text_tensors("sd1"),
    "text-sd2": lambda: text_tensors("sd2"),
    "vae-sd": lambda: vae_tensors("sd"),
    "vae-pack": lambda: vae_tensors("pack"),
}


def write_lists(folder):
    """One line per tensor: its dimensions with 'x' between them, a space, its name."""
    os.makedirs(folder, exist_ok=True)
    for name, tensors in LISTS.items():
        with open(os.path.join(folder, name + ".txt"), "w") as f:
            for tensor, shape in tensors().items():
                f.write("x".join(map(str, shape)) + " " + tensor + "\n")
