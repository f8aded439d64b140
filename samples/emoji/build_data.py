# SPDX-License-Identifier: MIT
"""Builds the training data of the emoji pack: build_data.py NPM_DIR OUT_DIR

Reads the packages that fetch.sh unpacked, renders the curated concepts
(concepts.txt) with librsvg and writes what `limn train` reads into OUT_DIR:
  pictures/*.png   on white, and copies of some of them in other colours
  metadata.jsonl   the captions of each, {"file_name", "text": [...]}
  reference/       the same pictures, each with its names alone: what `limn compare` holds the pack's models against
  diffusion.json, gan.json   the configurations beside this script, with the words that
                   the pack knows (and for diffusion the prompts of its sheets)
Everything is deterministic.
"""
import collections
import hashlib
import json
import os
import random
import shutil
import sys

import numpy as np

import drawings as dr
import recolour as rc
import settings as S

HERE = os.path.dirname(os.path.abspath(__file__))


def read_concepts():
    rows = []
    with open(os.path.join(HERE, "concepts.txt"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#") or not line.strip():
                continue
            cell = [c.strip() for c in line.split("|")] + [""]
            opts = cell[3].split()
            rows.append(dict(
                code=dr.canon("-".join(f"{ord(c):X}" for c in cell[0])),
                en=[x.strip() for x in cell[1].split(",")],
                ko=[x.strip() for x in cell[2].split(",")],
                colour=next((o[2:] for o in opts if o.startswith("c=")), None),
                norc="norc" in opts, copied="norc" not in opts))
    seen = [r["code"] for r in rows]
    dup = [c for c, n in collections.Counter(seen).items() if n > 1]
    if dup:
        sys.exit(f"concepts.txt: repeated {dup}")
    if S.CONCEPTS:
        rows = chosen(rows)
    return rows


def chosen(rows):
    """The rows that the file S.CONCEPTS names, and which of them are recoloured."""
    with open(os.path.join(HERE, S.CONCEPTS), encoding="utf-8") as f:
        text = "".join(line.strip() for line in f if not line.startswith("#"))
    kept, copied = (list(part.replace("\ufe0f", "")) for part in text.split("recolour:"))
    by_code = {r["code"]: r for r in rows}
    out = []
    for c in kept:
        code = f"{ord(c):X}"
        if code not in by_code or by_code[code] in out:
            sys.exit(f"{S.CONCEPTS}: {c} is repeated or not in concepts.txt")
        out.append(by_code[code])
        out[-1]["copied"] &= c in copied
    if set(copied) - set(kept):
        sys.exit(f"{S.CONCEPTS}: to be recoloured but not chosen: {set(copied) - set(kept)}")
    return out


def read_drop():
    """style/CODE pairs judged poor by eye."""
    path = os.path.join(HERE, "drop.txt")
    if not os.path.exists(path):
        return set()
    with open(path) as f:
        return {w for line in f if not line.startswith("#") for w in line.split()}


def collect(root, concepts):
    """Renders every concept in every style; returns pictures and their rows."""
    names, korean = dr.names(root, "en"), dr.names(root, "ko")
    libs, drop = dr.libraries(), read_drop()
    by_code = {c["code"]: k for k, c in enumerate(concepts)}
    pictures, rows, seen = [], [], {}
    styles = [style for style, _, _ in S.STYLES]
    done = set()
    for style, code, icon in dr.icons(root, styles):
        k = by_code.get(code)
        if k is None or (style, code) in done or f"{style}/{code}" in drop:
            continue
        image = dr.render(libs, icon)
        if image is None or image[..., 3].max() < 128:
            continue
        mark = hashlib.sha256(image.tobytes()).digest()
        if mark in seen:
            continue
        seen[mark] = 1
        done.add((style, code))
        pictures.append(image)
        rows.append((k, styles.index(style)))
    for k, c in enumerate(concepts):
        d = names.get(c["code"])
        if d is None:
            sys.exit(f"concepts.txt: unknown {c['code']} {c['en']}")
        c["label"], c["tags"] = d["label"], d.get("tags", [])
        c["label_ko"] = korean.get(c["code"], {}).get("label", "")
    return np.stack(pictures), rows


def planes(pictures):
    """Bytes (B,H,W,4) -> 0..1 (B,4,H,W)."""
    return pictures.transpose(0, 3, 1, 2).astype(np.float32) / 255


def save_picture(path, rgba):
    """One picture (4,H,W), on white."""
    dr.save_png(path, (rc.on_white(rgba[None])[0].transpose(1, 2, 0) * 255 + .5).clip(0, 255).astype(np.uint8))


def make_plan(pictures, rows, concepts):
    """Natural colour word of each picture, and the copies to make."""
    natural, plan = [], []
    for i in range(0, len(pictures), 64):
        x = planes(pictures[i:i + 64])
        info = {k: v.tolist() for k, v in rc.survey(x).items()}
        for j in range(len(x)):
            c = concepts[rows[i + j][0]]
            g = {k: v[j] for k, v in info.items()}
            word = c["colour"]
            if word is None and g["share"] > .60:
                word = rc.natural(g["hue"], g["sat"], g["val"])
            if word is None and g["plain"] > .85:
                word = ("black" if g["plainval"] < .25 else "white" if g["plainval"] > .9
                        else "grey" if .4 < g["plainval"] < .75 else None)
            natural.append(word)
            if not c["copied"]:
                continue
            turn = g["share"] > .42 and g["sat"] > .28 and g["val"] > .3
            tint = not turn and g["plain"] > .6 and g["plainval"] > .5
            if not (turn or tint):
                continue
            for q, (name, _, hue, _, _) in enumerate(rc.COLOURS):
                if name == word or (turn and rc.natural(g["hue"], g["sat"], g["val"]) == name):
                    continue
                if name not in S.COPIES:
                    continue
                if name == "black" and (tint or g["share"] < .6):
                    continue
                if name == "brown" and g["share"] < .6:
                    continue
                plan.append((i + j, q, int(tint)))
    return natural, np.array(plan, np.int32)


def article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


PLURAL = {"grapes", "blueberries", "cherries", "peanuts", "pancakes", "french fries",
          "noodles", "scissors", "glasses", "sunglasses", "goggles", "jeans", "pants",
          "gloves", "socks", "skis", "headphones", "books", "eyes", "leaves", "lips",
          "footprints", "paw prints", "scales", "chains", "fireworks", "sparkles",
          "autumn leaves", "theater masks"}


# how people write the colours in Korean
KOREAN_COLOURS = dict(
    red=["빨간", "빨간", "빨간색"], orange=["주황색", "주황"], yellow=["노란", "노란", "노란색"],
    green=["초록색", "초록", "녹색"], blue=["파란", "파란", "파란색"], purple=["보라색", "보라"],
    pink=["분홍색", "분홍"], brown=["갈색"], black=["검은", "검은색", "검정"],
    white=["하얀", "흰", "하얀색"], grey=["회색"])


def caption(rnd, concept, colour, style):
    """One caption: concept, colour word or None, style index."""
    style_words = S.STYLES[style][1] if rnd.random() < S.STYLE_SHARE else None
    en = concept["en"]
    name = en[0] if rnd.random() < .65 else rnd.choice(en)
    if rnd.random() < S.KOREAN_SHARE:
        ko = concept["ko"]
        text = ko[0] if rnd.random() < .6 else rnd.choice(ko)
        if colour:
            text = rnd.choice(KOREAN_COLOURS[colour]) + " " + text
        if style_words:
            word = rnd.choice(S.STYLES[style][2] if rnd.random() < .6 else S.STYLES[style][1])
            text = f"{text}, {word}" if rnd.random() < .6 else f"{word} {text}"
        return text
    if not colour and rnd.random() < S.LABEL_SHARE and concept["label"]:
        name = concept["label"].lower()
    if colour and colour in name.split():
        text = name
    else:
        text = f"{colour} {name}" if colour else name
    if name not in PLURAL and rnd.random() < .45:
        text = article(text)
    if rnd.random() < .08:
        text = rnd.choice(["a picture of ", "a drawing of ", "an emoji of "]) + text
    if concept["tags"] and rnd.random() < S.TAG_SHARE:
        text += ", " + rnd.choice(concept["tags"]).lower()
    if style_words:
        word = style_words[0]
        form = rnd.random()
        text = f"{text}, {word}" if form < .6 else f"{text} in {word}" if form < .8 else f"{text} {word}"
    return text


def names(concept, colour, alone):
    """What a picture may be called: the names that serve alone, and with its colour before them those of the concept."""
    out = list(alone)
    if colour:
        out += [f"{colour} {n}" for n in concept["en"] if colour not in n.split()]
        out += [f"{k} {n}" for k in KOREAN_COLOURS[colour] for n in concept["ko"]]
    return list(dict.fromkeys(out))


def write_reference(out, jobs, concepts):
    """A name that several concepts share (hearts, circles) means the one without `norc`; copies have no name alone."""
    os.makedirs(out + "/reference", exist_ok=True)
    owners = collections.Counter(n for c in concepts for n in c["en"] + c["ko"])
    with open(out + "/reference/metadata.jsonl", "w", encoding="utf-8") as f:
        for file, k, s, colour, _ in sorted(jobs):
            name, c = os.path.basename(file), concepts[k]
            copied = name != f"{c['code']}-{S.STYLES[s][0]}.png"
            alone = [] if copied else [n for n in c["en"] + c["ko"] if owners[n] == 1 or not c["norc"]]
            shutil.copyfile(f"{out}/{file}", f"{out}/reference/{name}")
            f.write(json.dumps(dict(file_name=name, text=names(c, colour, alone)), ensure_ascii=False) + "\n")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    concepts = read_concepts()
    pictures, rows = collect(root, concepts)
    styles = collections.Counter(S.STYLES[s][0] for _, s in rows)
    print(len(concepts), "concepts,", len(pictures), "pictures", dict(styles))
    natural, plan = make_plan(pictures, rows, concepts)
    print("recoloured copies:", len(plan),
          dict(collections.Counter(rc.NAMES[q] for q in plan[:, 1])))

    os.makedirs(out + "/pictures", exist_ok=True)
    jobs = []       # file, concept, style, colour word, how often it is said
    for i, (k, s) in enumerate(rows):
        file = f"pictures/{concepts[k]['code']}-{S.STYLES[s][0]}.png"
        save_picture(f"{out}/{file}", planes(pictures[i:i + 1])[0])
        jobs.append((file, k, s, natural[i], S.COLOUR_SHARE if not concepts[k]["norc"] else 1.))
    for i, q, tint in plan:
        k, s = rows[i]
        file = f"pictures/{concepts[k]['code']}-{S.STYLES[s][0]}-{rc.NAMES[q]}.png"
        save_picture(f"{out}/{file}", rc.recolour(planes(pictures[i:i + 1]), np.array([q]), np.array([tint > 0]))[0])
        jobs.append((file, k, s, rc.NAMES[q], 1.))
    rnd, texts = random.Random(1), set()
    with open(out + "/metadata.jsonl", "w", encoding="utf-8") as f:
        for file, k, s, colour, often in jobs:
            lines = [caption(rnd, concepts[k], colour if colour and rnd.random() < often else None, s)
                     for _ in range(S.CAPTIONS)]
            texts.update(lines)
            f.write(json.dumps(dict(file_name=file, text=lines), ensure_ascii=False) + "\n")
    print(len(jobs), "pictures,", len(texts), "captions")
    write_reference(out, jobs, concepts)
    write_configs(out, concepts, {rc.NAMES[q] for q in plan[:, 1]} | {n for n in natural if n})


def write_configs(out, concepts, colours):
    """Concepts that share their first names are one entry."""
    listed = {}
    for c in concepts:
        e = listed.setdefault(c["en"][0], dict(en=[], ko=[]))
        e["en"] += [x for x in c["en"] if x not in e["en"]]
        e["ko"] += [x for x in c["ko"] if x not in e["ko"]]
    pack = dict(
        name="emoji", concepts=list(listed.values()),
        styles=[dict(en=e[0], ko=k[0], source=n) for n, e, k in S.STYLES],
        colours=[dict(en=c[0], ko=c[1]) for c in rc.COLOURS if c[0] in colours], licence=S.LICENCE)
    with open(os.path.join(HERE, "prompts.txt"), encoding="utf-8") as f:
        sheet = dict(prompts=[p.strip() for p in f if p.strip()], columns=12)
    for name, more in (("diffusion.json", dict(sheet=sheet, pack=pack)), ("gan.json", dict(pack=pack))):
        with open(os.path.join(HERE, name), encoding="utf-8") as f:
            config = {**json.load(f), **more}
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(config, f, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
