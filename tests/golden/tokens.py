"""Goldens of the tokenizer: strings and their ids, by Hugging Face's fast CLIP tokenizer.

Where the slow one (with and without ftfy) or OpenAI's own says something else, that is kept too.
"""

import collections
import gzip
import importlib.util
import json
import os
import random
import sys
import tempfile
import unicodedata

import ftfy
from transformers import CLIPTokenizer, CLIPTokenizerFast


def openai_module():
    """clip/simple_tokenizer.py of clip-anytorch, without importing the package around it."""
    package = os.path.dirname(importlib.util.find_spec("clip").origin)
    spec = importlib.util.spec_from_file_location("simple_tokenizer", os.path.join(package, "simple_tokenizer.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hugging_face():
    """(slow without ftfy, slow with ftfy, fast), made from OpenAI's merges table."""
    openai = openai_module().SimpleTokenizer()
    merges = gzip.open(openai_module().default_bpe()).read().decode("utf-8").split("\n")[1:49152 - 256 - 2 + 1]
    with tempfile.TemporaryDirectory() as folder:
        vocab, table = folder + "/vocab.json", folder + "/merges.txt"
        with open(vocab, "w") as f:
            json.dump(openai.encoder, f)
        with open(table, "w") as f:
            f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
        hidden, sys.modules["ftfy"] = sys.modules["ftfy"], None   # as on a machine without it
        plain = CLIPTokenizer(vocab, table)
        sys.modules["ftfy"] = hidden
        assert plain.fix_text is None
        fixing = CLIPTokenizer(vocab, table)
        assert fixing.fix_text is not None
        fast = CLIPTokenizerFast(vocab, table)
    return plain, fixing, fast


# ---------------------------------------------------------------- the strings

SUBJECTS = "apple cat dog castle dragon robot teapot lighthouse astronaut mushroom bicycle volcano owl fox violin " \
           "strawberry skyscraper waterfall samurai penguin sunflower spaceship lantern whale pumpkin knight".split()
ADJECTIVES = "red shiny tiny ancient glowing crystal wooden melancholic baroque translucent cyberpunk pastel " \
             "low-poly hand-drawn Gothic iridescent moss-covered 3D black-and-white ultra-detailed".split()
PLACES = ["on a table", "in the rain", "at dawn", "under the sea", "in a snowy forest", "by Vincent van Gogh",
          "in Tokyo, 1985", "on Mars", "in the style of ukiyo-e", "at the bottom of a well"]
TAILS = ["", ", trending on artstation", ", 8k, HDR, f/1.4", ". Cinematic lighting!", " -- v2", "; studio photo (close-up)",
         ", octane render, 4k UHD", " \"masterpiece\"", " & friends", ", 35mm film grain ..."]
KOREAN = "빨간 파란 노란 사과 고양이 강아지 하늘 바다 웃는 얼굴 로봇 자동차 비행기 나무 꽃 별 달 해 눈사람 케이크 커피 집 학교 " \
         "할머니 왕관 무지개 유령 용 불꽃 눈물 안녕하세요 그림을 그려줘 예쁜 커다란 작은 수채화 스타일의 ㅋㅋㅋ ㅠㅠ".split()
CJK = ["一只红色的苹果", "猫と犬", "東京タワーの夜景", "北京 天安门", "こんにちは世界", "アニメ風の少女", "ｱﾆﾒ", "漢字とkanji", "龍", "𠮷野家",
       "中文,英文 mixed文字", "全角ＡＢＣ１２３！", "々〆ヶ", "〇", "㍿ ㎏ ①", "豈 更 (compat)"]
ACCENTED = ["café", "naïve façade", "Ångström", "crème brûlée", "jalapeño", "Zürich über alles", "smörgåsbord", "Dvořák", "Łódź",
            "İstanbul", "ıspanak", "IŞIK", "straße STRASSE ẞ", "Ελλάδα", "ΟΔΥΣΣΕΥΣ", "ὀδυσσεύς", "Москва", "ЁЛКА ёж", "Việt Nam", "phở bò",
            "Tiếng Việt có dấu", "ĲSSELMEER", "ǅ ǆ Ǆ", "ŉ", "ﬁne ﬂow ﬃ", "ſtone it'ſ", "Kelvin K Å Ω", "Ꭰꭰ Ꮿ", "𐐀𐐨", "ᏣᎳᎩ", "Ⅷ ⅷ", "ª º"]
SCRIPTS = ["مرحبا بالعالم", "مُحَمَّد", "שלום עולם", "שָׁלוֹם", "नमस्ते दुनिया", "हिन्दी में लिखो", "বাংলা", "தமிழ் எழுத்து", "తెలుగు", "ไทย น้ำใจ", "ພາສາລາວ",
           "བོད་སྐད", "მზე ᲛᲖᲔ", "Հայաստան", "አማርኛ", "ភាសាខ្មែរ", "မြန်မာ", "සිංහල", "ᠮᠣᠩᠭᠣᠯ", "ᚠᚢᚦᚨᚱᚲ", "𝐁𝐨𝐥𝐝 𝒮𝒸𝓇𝒾𝓅𝓉", "𓀀𓁐", "٣٤٥ ۴۵ ४५", "½ ¼ ² ³ ₂"]
EMOJI = ["😀", "😂😂😂", "❤️", "❤", "👍🏽", "👩‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇰🇷", "🇺🇸🇯🇵", "1️⃣", "#️⃣", "☺︎", "☺️", "🍎 apple", "cat🐱dog🐶", "✨ magic ✨", "🔥🔥",
         "™ © ®", "→ ← ↑ ↓", "♥♦♣♠", "★☆", "🤷🏻‍♀️", "🧑🏿‍🦰", "🫠", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "⌚️", "㊙️", "🀄", "💯%"]
ENTITIES = ["&amp;", "&lt;b&gt;bold&lt;/b&gt;", "&amp;amp;", "&amp;lt;", "&#39;s", "&#x1F34E;", "&eacute;t&eacute;", "&nbsp;", "a&nbsp;b", "&quot;hi&quot;",
            "&copy; 2020", "&notanentity;", "&", "AT&T", "R&amp;B", "&lt", "&#0;", "&#128512;", "&hearts;", "&AMP;", "1 &lt; 2 &gt; 0", "fish &amp; chips"]
APOSTROPHES = ["I'm", "don't", "DON'T", "it's", "IT'S", "they're", "we've", "she'll", "he'd", "rock 'n' roll", "'s", "'S", "''s", "s'", "'tis", "it’s",
               "l'été", "o'clock", "y'all'd've", "'''", "' s", "'re're", "'l'll", "dogs' 'dogs'", "90's", "'90s", "“quoted”", "‘single’", "`tick`", "it´s", "'d1", "'mé", "a'ſ"]
RUNS = ["!!!", "???!!!", "...", "…", "-----", "—", "–", "a--b", "((a))", "(a:1.3)", "[b]", "{c|d}", "\\(x\\)", "<lora:x:1>", "</w>", "a</w>b", "#hashtag", "@user",
        "http://example.com/a?b=c&d=e", "a_b_c", "$9.99", "50%", "1+1=2", "C++ / C#", "x^2", "~tilde~", "|||", "*star*", "a,b,c", ",,,", "; :", "/\\/\\", ":-)", ":D ;P", "¯\\_(ツ)_/¯",
        "(╯°□°）╯︵ ┻━┻", "。、！？", "«guillemets»", "¿qué?", "№ 5", "§ 7", "°C", "€£¥₩", "a.b.c.d", "...and", "wow!!!1!", "\"\"\"", "={}", "<>", "<|", "|>", "<|x|>"]
SPECIALS = ["<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|ENDOFTEXT|>", "<|EndOfText|>", "<|startoftext|><|endoftext|>", "<|endoftext", "<|endoftext|>'s",
            "<|endoftext|> <|endoftext|>", "  <|startoftext|> a"]
SPACES = ["", " ", "   ", " a", "a ", "  a   b  ", "a\tb", "a\nb", "a\r\nb", "\n\n\n", "a\u00a0b", "a\u3000b", "a\u2003b", "a\u2028b", "a\u2029b", "a\u0085b", "a\u1680b", "a\u202fb",
          "a\u200bb", "a\u200db", "a\u200cb", "\ufeffa", "a\u00adb", "a\u2060b", "a\u180eb", "\u200ea\u200f", "a\u0009\u000b\u000cb"]
NUMBERS = ["0", "42", "1984", "3.14159", "1,000,000", "0x1F", "1e-5", "007", "2nd 3rd", "16:9", "1024x768", "24/7", "v1.5", "٤٢", "１２３", "Ⅻ", "①②③", "½", "1st", "50mm", "5'10\"", "−5", "1\u20443"]
OTHERS = ["schÃ¶n", "l’Ã©tÃ©", "â€œquoteâ€\u009d", "\ufffd", "a\ufffdb", "\ue000", "\U000f0000", "a\u0301", "e\u0301\u0302\u0303\u0304", "Z̸̛̤a̷͔l̵̞g̶̰o̴", "\u1100\u1161\u11a8", "\u0301", "\u0345", "\u212b",
          "\u1e9b\u0323", "\u0958", "\u2126", "가\u11a8", "\u0130\u0307", "ﷺ", "\u00df\u0308", "\u03c2\u03a3", "A\u030a", "ö\u0323", "\u0323\u0308"]


def captions(rng, n):
    for _ in range(n):
        form = rng.choice(["a {a} {s} {p}{t}", "{a} {s}", "{s}, {a}, {a2}{t}", "A {a}, {a2} {s} {p}", "the {s} and the {s2} {p}{t}", "{S} {p}", "painting of a {s}"])
        s = rng.choice(SUBJECTS)
        yield form.format(a=rng.choice(ADJECTIVES), a2=rng.choice(ADJECTIVES), s=s, S=s.upper(), s2=rng.choice(SUBJECTS),
                          p=rng.choice(PLACES), t=rng.choice(TAILS))


def from_vocabulary(rng, openai, n):
    """Words of the table put together at random: long merges that captions never reach."""
    pieces = [w for w in openai.encoder if w.endswith("</w>") and len(w) > 6]
    for _ in range(n):
        words = [bytearray(openai.byte_decoder[c] for c in w[:-4]).decode("utf-8", "ignore") for w in rng.sample(pieces, 4)]
        yield rng.choice([" ", " ", "", "-"]).join(words)


def korean(rng, n):
    for i in range(n):
        if i % 4 == 3:
            text = "".join(chr(rng.randrange(0xAC00, 0xD7A4)) for _ in range(rng.randrange(1, 5)))
        else:
            text = " ".join(rng.sample(KOREAN, rng.randrange(1, 4)))
        yield unicodedata.normalize("NFD", text) if i % 5 == 4 else text


def mixtures(rng, pool, n):
    for _ in range(n):
        yield rng.choice(["", " ", " "]).join(rng.sample(pool, 2))


def letters(rng, n):
    """Random code points from the whole of Unicode 3.2, whose properties nothing disputes any more."""
    old = unicodedata.ucd_3_2_0
    common = {*range(0x3500, 0xA000), *range(0xAC40, 0xD7A4), *range(0x20010, 0x2FA00)}   # Han, Hangul: a few will do
    allowed = [c for c in range(0xA0, 0x30000) if c not in common and old.category(chr(c))[0] in "LMNPSZ"]
    for _ in range(n):
        yield "".join(chr(rng.choice(allowed)) for _ in range(3))


def strings():
    """[(category, text)], always the same."""
    rng, out = random.Random(20), []

    def add(category, texts):
        out.extend((category, t) for t in texts)

    add("english", captions(rng, 500))
    add("vocabulary", from_vocabulary(rng, openai_module().SimpleTokenizer(), 250))
    add("korean", korean(rng, 300))
    for name, fixed in (("cjk", CJK), ("accents", ACCENTED), ("scripts", SCRIPTS), ("emoji", EMOJI), ("entities", ENTITIES),
                        ("apostrophes", APOSTROPHES), ("punctuation", RUNS), ("specials", SPECIALS), ("spaces", SPACES),
                        ("numbers", NUMBERS), ("odd", OTHERS)):
        add(name, fixed)
    add("nfd", (unicodedata.normalize("NFD", t) for t in ACCENTED + SCRIPTS + CJK))
    add("ascii", (chr(c) for c in range(0x20, 0x7F)))
    add("ascii", (f"a{chr(c)}b" for c in range(0x20, 0x7F)))
    add("latin1", (chr(c) for c in range(0xA0, 0x180)))
    add("control", (f"a{chr(c)}b" for c in [*range(1, 0x20), *range(0x7F, 0xA0)]))
    pool = CJK + ACCENTED + SCRIPTS + EMOJI + ENTITIES + APOSTROPHES + RUNS + NUMBERS + KOREAN + SUBJECTS
    add("mixtures", mixtures(rng, pool, 200))
    add("code points", letters(rng, 150))
    seen, unique = set(), []
    for category, text in out:
        if text not in seen:
            seen.add(text)
            unique.append((category, text))
    return unique


REPEATS = [("a", 10240), ("A", 10240), ("ab", 5120), ("!", 10240), ("1", 2048), (" ", 10240), ("가", 3413), ("🍎", 2560), ("é", 5120),
           ("a ", 5120), ("e\u0301", 3413), ("'s", 5120), ("aaab", 2560)]


# ---------------------------------------------------------------- the file

def runs(ids):
    """Ids as [[times, id, ...], ...]: the group said that many times over; groups of one or two."""
    out, i = [], 0
    while i < len(ids):
        best = [1, ids[i]]
        for size in (1, 2):
            group, times = ids[i:i + size], 1
            while ids[i + times * size:i + (times + 1) * size] == group:
                times += 1
            if times > 1 and times * size > best[0] * (len(best) - 1):
                best = [times, *group]
        out.append(best)
        i += best[0] * (len(best) - 1)
    assert [x for times, *group in out for x in group * times] == ids
    return out


def make(folder):
    plain, fixing, fast = hugging_face()
    openai = openai_module().SimpleTokenizer()
    readers = {
        "slow": lambda t: plain(t, add_special_tokens=False)["input_ids"],
        "ftfy": lambda t: fixing(t, add_special_tokens=False)["input_ids"],
        "openai": openai.encode,
    }
    differ, cleaned, lines = collections.defaultdict(collections.Counter), collections.Counter(), []

    def row(category, record, text):
        record["ids"] = fast(text, add_special_tokens=False)["input_ids"]
        for name, read in readers.items():
            ids = read(text)
            if ids != record["ids"]:
                record[name] = ids
                differ[name][category] += 1
                if name == "openai" and ftfy.fix_text(text) == text:
                    cleaned[category] += 1
        if "times" in record:
            assert len(record) == 4, "the readers differ on a repeated text"
            record["runs"] = runs(record.pop("ids"))
        lines.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))

    everything = strings()
    for category, text in everything:
        row(category, {"kind": category, "text": text}, text)
    for text, times in REPEATS:
        row("long", {"kind": "long", "text": text, "times": times}, text * times)
    with open(f"{folder}/tokens.json", "w") as f:
        f.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"  {len(lines)} strings, {os.path.getsize(f.name)} bytes")
    for name, count in differ.items():
        print(f"  {name} differs on {sum(count.values())}: {dict(count)}")
    print(f"  openai differs where ftfy changes nothing on {sum(cleaned.values())}: {dict(cleaned)}")
