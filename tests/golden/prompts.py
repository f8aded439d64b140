"""Goldens of weighted and long prompts: the AUTOMATIC1111 web UI's rules, worked out here
again (its code is not used), over transformers' text towers of the tiny kinds."""

import json
import math
import re

import torch
from safetensors.torch import save_file

import kinds
import tokens

SOT, EOT, COMMA, CHUNK, BACKTRACK = 49406, 49407, 267, 75, 20

LONG = ", ".join(f"{w} {s}" for w, s in zip(tokens.ADJECTIVES * 2, tokens.SUBJECTS)) + ", the end"
PARSED = [
    "normal text", "an (important) word", "(unbalanced", "[unbalanced", "unbalanced)", "unbalanced]", "\\(literal\\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "(a red:1.3) apple", "a (red:.5) apple", "a (red:+1.5) (apple:-1)", "(a:1.)", "( a : 1.2 )",
    "(a:b:1.2)", "(a:b)", "a:1.3", "a:1.3)", "(a:1.3", "[a:1.3]", "[a:1.3)", "((a:1.2):1.5)", "([a])", "[(a])", "()", "[]", "(:1.3)", "", " ", "\\", "\\\\", "a\\", "\\a",
    "\\(a:1.3\\)", "(\\(a\\):1.3)", "(a)(b:1.1)", "a (b:1e3) c", "a (b:1,3) c", "(빨간:1.2) 사과", "<lora:x:0.5> a", "((((a))))", "[[[a]]]", "(a [b (c:1.5)])",
    "a BREAK b", "a BREAK BREAK b", "BREAK", "aBREAKb", "a BREAK", "a,BREAK,b", "(a BREAK b:1.3)", "(a BREAK b)", "break", "a  BREAK\nb", "(a) BREAK (b)", "a\\BREAK b",
]
STATES = {   # name -> (kind, prompt)
    "sd1.plain": ("sd1", "a red apple"),
    "sd1.weight": ("sd1", "(a red:1.3) apple"),
    "sd1.nested": ("sd1", "a [blue] (((cat))) \\(literal\\), (dog:0.4)"),
    "sd1.break": ("sd1", "a red apple BREAK (a blue:1.2) pear"),
    "sd1.long": ("sd1", LONG),
    "sd1.empty": ("sd1", ""),
    "sd2.weight": ("sd2", "(a red:1.3) apple"),
    "sd2.break": ("sd2", "a red apple BREAK (a blue:1.2) pear"),
}

PIECE = re.compile(r"""
    \\(?P<escaped>[()\[\]\\]?)          # a backslash hides the bracket (or backslash) behind it, and goes
  | (?P<open>[(\[])
  | :\s*(?P<weight>[+-]?[.\d]+)\s*\)
  | (?P<close>[)\]])
  | (?P<text>[^\\()\[\]:]+|:)
""", re.X)


def parse(prompt):
    """[[text, weight], ...]; a chunk break is ["BREAK", -1]."""
    out, open_at = [], {"(": [], "[": []}

    def scale(start, factor):
        for item in out[start:]:
            item[1] *= factor

    def plain(text):
        for i, part in enumerate(re.split(r"\s*\bBREAK\b\s*", text)):
            if i:
                out.append(["BREAK", -1])
            out.append([part, 1.0])

    for m in PIECE.finditer(prompt):
        if m["escaped"] is not None:
            out.append([m["escaped"], 1.0])
        elif m["open"]:
            open_at[m["open"]].append(len(out))
        elif m["weight"] is not None and open_at["("]:
            scale(open_at["("].pop(), float(m["weight"]))
        elif m["close"] == ")" and open_at["("]:
            scale(open_at["("].pop(), 1.1)
        elif m["close"] == "]" and open_at["["]:
            scale(open_at["["].pop(), 1 / 1.1)
        else:   # text, and brackets that close nothing
            plain(m[0])
    for bracket, factor in (("(", 1.1), ("[", 1 / 1.1)):   # brackets never closed
        for start in open_at[bracket]:
            scale(start, factor)
    merged = []
    for text, weight in out or [["", 1.0]]:
        if merged and merged[-1][1] == weight:
            merged[-1][0] += text
        else:
            merged.append([text, weight])
    return merged


def chunks(prompt, encode):
    """[(75 ids or fewer, their weights), ...] before start, end and padding are put on."""
    done, ids, weights, comma = [], [], [], -1

    def cut(at):
        nonlocal ids, weights, comma
        done.append((ids[:at], weights[:at]))
        ids, weights, comma = ids[at:], weights[at:], -1

    for text, weight in parse(prompt):
        if (text, weight) == ("BREAK", -1):
            cut(len(ids))
            continue
        for token in encode(text):
            if token == COMMA:
                comma = len(ids)
            elif len(ids) == CHUNK and comma != -1 and CHUNK - comma <= BACKTRACK:
                cut(comma + 1)   # what follows the last comma moves to the next chunk
            if len(ids) == CHUNK:
                cut(CHUNK)
            ids.append(token)
            weights.append(weight)
    if ids or not done:
        cut(len(ids))
    return done


def states(model, kind, prompt, encode):
    all_ids, all_weights, out = [], [], []
    for ids, weights in chunks(prompt, encode):
        fill = EOT if kind == "sd1" else 0   # SD 2 pads with 0 behind the end token
        ids = [SOT] + ids + [EOT] + [fill] * (CHUNK - len(ids))
        weights = [1.0] + weights + [1.0] * (CHUNK + 1 - len(weights))
        z = model(torch.tensor([ids])).last_hidden_state
        mean = z.mean()
        z = z * torch.tensor(weights).reshape(1, -1, 1)
        z = z * (mean / z.mean())
        all_ids.append(ids)
        all_weights.append(weights)
        out.append(z[0])
    return torch.tensor(all_ids, dtype=torch.int32), torch.tensor(all_weights), torch.cat(out)


def check():
    """What the web UI's own documentation says of its parser."""
    assert parse("an (important) word") == [["an ", 1.0], ["important", 1.1], [" word", 1.0]]
    assert parse("(unbalanced") == [["unbalanced", 1.1]]
    assert parse("\\(literal\\]") == [["(literal]", 1.0]]
    assert parse("(unnecessary)(parens)") == [["unnecessaryparens", 1.1]]
    want = [["a ", 1.0], ["house", 1.5730000000000004], [" ", 1.1], ["on", 1.0], [" a ", 1.1], ["hill", 0.55],
            [", sun, ", 1.1], ["sky", 1.4641000000000006], [".", 1.1]]
    got = parse("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).")
    assert [t for t, _ in got] == [t for t, _ in want]
    assert all(math.isclose(a[1], b[1], rel_tol=1e-12) for a, b in zip(got, want))


def make(folder):
    check()
    fast = tokens.hugging_face()[2]

    def encode(text):
        return fast(text, add_special_tokens=False)["input_ids"]

    assert encode(",") == [COMMA]
    models, out, about = {kind: kinds.text(kind) for kind in kinds.TEXTS}, {}, {}
    with torch.no_grad():
        for name, (kind, prompt) in STATES.items():
            out[name + ".ids"], out[name + ".weights"], out[name + ".states"] = states(models[kind], kind, prompt, encode)
            about[name] = {"kind": kind, "prompt": prompt}
            print(f"  {name:12s} {tuple(out[name + '.states'].shape)}")
    save_file(out, f"{folder}/prompts.safetensors", {"cases": json.dumps(about)})
    with open(f"{folder}/prompts.json", "w") as f:
        rows = [{"prompt": p, "parts": parse(p), "chunks": [ids for ids, _ in chunks(p, encode)]} for p in [*PARSED, LONG, LONG.replace(",", "")]]
        f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows) + "\n]\n")
