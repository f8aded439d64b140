# SPDX-License-Identifier: MIT
"""CLIP's byte-pair tokenizer, with its own small table of merges.

The algorithm is OpenAI CLIP's: lower-case, split into words, map each byte
to a printable character, mark the end of a word with '</w>', then apply the
merges by rank.  Vocabulary order: 256 bytes, 256 bytes + '</w>', the merges,
<|startoftext|>, <|endoftext|>.  Text is padded to settings.LENGTH with <|endoftext|>.
"""
import collections
import unicodedata

from settings import LENGTH

CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
SPECIALS = ("<|startoftext|>", "<|endoftext|>")


def bytes_to_unicode():
    """CLIP's (GPT-2's) table from byte values to printable characters."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    order, chars, extra = list(keep), list(keep), 0
    for b in range(256):
        if b not in keep:
            order.append(b)
            chars.append(256 + extra)
            extra += 1
    return {b: chr(c) for b, c in zip(order, chars)}


def split_words(text):
    """CLIP's pattern: specials | contractions | letters+ | digit | others+."""
    text = " ".join(text.split()).lower()
    words, i, n = [], 0, len(text)

    def kind(c):
        if c.isspace():
            return "space"
        major = unicodedata.category(c)[0]
        return "letter" if major == "L" else "number" if major == "N" else "other"

    while i < n:
        for s in SPECIALS + CONTRACTIONS:
            if text.startswith(s, i):
                words.append(s)
                i += len(s)
                break
        else:
            k = kind(text[i])
            j = i + 1
            if k in ("letter", "other"):
                while j < n and kind(text[j]) == k:
                    j += 1
            if k != "space":
                words.append(text[i:j])
            i = j
    return words


class Tokenizer:
    def __init__(self, merges):
        """merges: list of (left, right) pairs, best first."""
        self.bytes = bytes_to_unicode()
        vocab = list(self.bytes.values())
        vocab += [v + "</w>" for v in vocab]
        vocab += [a + b for a, b in merges]
        vocab += list(SPECIALS)
        self.ids = {}
        for i, v in enumerate(vocab):
            self.ids[v] = i
        self.size = len(vocab)
        self.start, self.end = self.size - 2, self.size - 1
        self.rank = {m: i for i, m in enumerate(merges)}
        self.cache = {}

    def word(self, word):
        if word in self.cache:
            return self.cache[word]
        if word in SPECIALS:
            return [self.ids[word]]
        parts = [self.bytes[b] for b in word.encode("utf-8")]
        parts[-1] += "</w>"
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]),
                       key=lambda p: self.rank.get(p, 1 << 30))
            if best not in self.rank:
                break
            out, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    out.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    out.append(parts[i])
                    i += 1
            parts = out
        ids = [self.ids[p] for p in parts]
        self.cache[word] = ids
        return ids

    def encode(self, text):
        """Start token, text tokens, end tokens up to LENGTH."""
        ids = [t for w in split_words(text) for t in self.word(w)]
        ids = [self.start] + ids[:LENGTH - 2] + [self.end]
        return ids + [self.end] * (LENGTH - len(ids))


def learn(word_counts, count):
    """Learns at most `count` merges from {word: how often}."""
    table = bytes_to_unicode()
    words = []
    for w, n in sorted(word_counts.items()):
        parts = [table[b] for b in w.encode("utf-8")]
        parts[-1] += "</w>"
        words.append((parts, n))
    merges, made = [], set()
    while len(merges) < count:
        pairs = collections.Counter()
        for parts, n in words:
            for p in zip(parts, parts[1:]):
                pairs[p] += n
        # a merge that spells an existing entry would break CLIP's id order
        pairs = [(n, p) for p, n in pairs.items() if p[0] + p[1] not in made]
        if not pairs:
            break
        n, best = max(pairs, key=lambda x: (x[0], x[1]))
        if n < 2:
            break
        merges.append(best)
        made.add(best[0] + best[1])
        for parts, _ in words:
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i:i + 2] = [best[0] + best[1]]
                else:
                    i += 1
    return merges


def merges_text(merges):
    return "".join(f"{a} {b}\n" for a, b in merges)


def parse_merges(text):
    return [tuple(line.split(" ")) for line in text.splitlines() if line]
