# SPDX-License-Identifier: MIT
"""Builds the whole emoji set as folders of pictures with captions: build_set.py NPM_DIR OUT_DIR

Every drawing of the seven packages that fetch.sh unpacked which emojibase has a name for, without skin tones, flags
and exact doubles, 64x64 on white:
  OUT_DIR/train      nine tenths, OUT_DIR/held-out one tenth (by a hash of style and code points), each with
                     STYLE/CODE.png and metadata.jsonl, which gives each picture's captions: {"file_name", "text": [...]}

Captions of a training picture are half English, half Korean, with and without the style's name. Of a held-out picture
they are, in this order: English with style, English, Korean with style, Korean; the latter where it has a name.
"""
import collections
import hashlib
import json
import os
import sys

import numpy as np

import drawings as dr

STYLES = {  # package: style words in English, in Korean
    "noto": ("noto", "노토"),
    "noto-v1": ("blob", "블롭"),
    "fluent-emoji-flat": ("flat", "플랫"),
    "fluent-emoji": ("glossy", "글로시"),
    "twemoji": ("twemoji", "트위모지"),
    "emojione": ("emojione", "이모지원"),
    "fxemoji": ("firefox", "파이어폭스"),
}
TONES = {f"1F3F{x}" for x in "BCDEF"}


def wanted(code, entry):
    parts = code.split("-")
    return entry is not None and not TONES & set(parts) and not entry["label"].startswith("flag:") \
        and not entry["label"].startswith("regional indicator")


def on_white(rgba):
    a = rgba[..., 3:].astype(np.float32) / 255
    return (rgba[..., :3] * a + 255 * (1 - a) + .5).astype(np.uint8)


def article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


def with_style(style):
    en, ko = STYLES[style]
    return lambda text: f"{text}, {en} style", lambda text: f"{text}, {ko} 스타일"


def training_captions(style, en, ko):
    """Texts to choose from, as many Korean ones as English ones where there is a Korean name."""
    styled, styled_ko = with_style(style)
    label = en["label"].lower()
    tags = [t.lower() for t in en.get("tags", []) if t.lower() != label][:4]
    english = [styled(label), label, styled(label), f"{STYLES[style][0]} style {label}", styled(article(label)),
               article(label)]
    english += [f"{label}, {t}" for t in tags[:2]] + [styled(f"{label}, {t}") for t in tags[2:]]
    if not ko:
        return english
    name = ko["label"].lower()
    tags = [t.lower() for t in ko.get("tags", []) if t.lower() != name][:4]
    korean = [styled_ko(name), name, styled_ko(name), f"{STYLES[style][1]} 스타일 {name}"]
    korean += [f"{name}, {t}" for t in tags[:2]] + [styled_ko(f"{name}, {t}") for t in tags[2:]]
    while len(korean) < len(english):
        korean.append(korean[len(english) - len(korean) & 3])
    return english + korean[:len(english)]


def held_out_captions(style, en, ko):
    styled, styled_ko = with_style(style)
    label, name = en["label"].lower(), ko["label"].lower() if ko else None
    return [styled(label), label] + ([styled_ko(name), name] if name else [])


def is_held_out(style, code):
    return hashlib.sha256(f"{style}/{code}".encode()).digest()[0] % 10 == 0


def pictures(root):
    """Yields (style, code, picture), each drawing once."""
    libs, done, seen, english = dr.libraries(), set(), set(), dr.names(root, "en")
    for style, code, svg in dr.icons(root, STYLES):
        if (style, code) in done or not wanted(code, english.get(code)):
            continue
        image = dr.render(libs, svg)
        if image is None or image[..., 3].max() < 128:
            continue
        image = on_white(image)
        mark = hashlib.sha256(image.tobytes()).digest()
        if mark in seen or image.min() > 250:
            continue
        seen.add(mark)
        done.add((style, code))
        yield style, code, image


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, out = sys.argv[1:]
    english, korean = dr.names(root, "en"), dr.names(root, "ko")
    rows, count = dict(train=[], **{"held-out": []}), collections.Counter()
    for style, code, image in pictures(root):
        part = "held-out" if is_held_out(style, code) else "train"
        en, ko = english[code], korean.get(code)
        os.makedirs(f"{out}/{part}/{style}", exist_ok=True)
        dr.save_png(f"{out}/{part}/{style}/{code}.png", image)
        texts = (training_captions if part == "train" else held_out_captions)(style, en, ko)
        rows[part].append(dict(file_name=f"{style}/{code}.png", text=texts))
        count[part, style] += 1
    for part, lines in rows.items():
        with open(f"{out}/{part}/metadata.jsonl", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    print({p: len(r) for p, r in rows.items()}, dict(count))


if __name__ == "__main__":
    main()
