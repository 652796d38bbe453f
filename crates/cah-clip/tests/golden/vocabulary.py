"""The vocabulary that OpenAI's and LAION's models share, and what open_clip's own tokenizer makes of difficult captions.

Needs open_clip_torch besides. `vocabulary/merges.txt` holds the 48,894 merges of `bpe_simple_vocab_16e6.txt`
(Copyright (c) 2021 OpenAI, MIT licence) that CLIP uses, in the layout of Hugging Face's merges.txt.
"""

import gzip
import json

from open_clip.tokenizer import SimpleTokenizer, default_bpe

import tokens
from common import HERE

OUT = HERE / "vocabulary"
MERGES = 49152 - 256 - 2

SUBJECTS = [
    "Vintage brass door knocker", "2016 Toyota Hilux 2.4 D-4D", "Men's Waterproof Jacket", "SUNSET over the Grand Canyon",
    "Wohnzimmer mit Kamin", "Château de Chambord", "Фото природы", "北海道の雪景色", "مسجد الحسن الثاني", "김치찌개 만들기",
    "iPhone 12 Pro Max 128GB", "Photo by @jane_doe", "50% OFF!!", "R&amp;B Music Awards", "Dog's Life™", "½-inch drill bit",
    "Señora Núñez", "İzmir'de gün batımı", "Ελληνική σαλάτα", "ข้าวผัดกุ้ง", "हिन्दी कविता", "🎄 Merry Christmas 🎅🏿", "C++ vs. C#",
    "naïve café",
]
FRAMES = [
    "{}", "{} - stock photo", "a photograph of {}, circa 1920", "{} | eBay", "Free shipping: {} (pack of 3) &ndash; £12.99",
    "\t{}\r\n\r\n", "“{}”", "{}…", "IMG_0042 {} 1920x1080.jpg", "{0} {0} {0} {0} {0} {0} {0} {0} {0} {0} {0} {0} {0} {0} {0}",
]


def captions():
    framed = [frame.format(subject) for subject in SUBJECTS for frame in FRAMES]
    return list(dict.fromkeys(tokens.CAPTIONS + framed))


def make():
    OUT.mkdir(exist_ok=True)
    lines = gzip.open(default_bpe()).read().decode().split("\n")[1 : MERGES + 1]
    (OUT / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
    tokenizer = SimpleTokenizer()
    rows = [{"caption": caption, "ids": encode(tokenizer, caption)} for caption in captions()]
    (OUT / "tokens.json").write_text(json.dumps(rows, indent=None, ensure_ascii=True).replace("}, ", "},\n") + "\n")


def encode(tokenizer, caption):
    """Up to the end of the text; behind it come zeros."""
    ids = tokenizer(caption)[0].tolist()
    return ids[: ids.index(tokenizer.eot_token_id) + 1]
