"""A small byte-pair vocabulary, and what transformers' CLIPTokenizer makes of difficult captions with it."""

import collections
import html
import json
import re

import ftfy
from transformers import CLIPTokenizer

from common import HERE

CORPUS = """a photo of a cat and a dog on the street, the weather is nice today and the sun shines over the sea
an old red car in front of the house with the green door, black and white photograph from the year nineteen hundred
the quick brown fox jumps over the lazy dog while some other animals are watching them from the forest
women and men walking in the park, children playing football, flowers in the garden, mountains behind the river
best price for shoes, shirts, jewellery and watches in our online shop, free shipping, new collection of the season
das ist ein schönes Bild von der Stadt am Abend, die Menschen gehen über die Brücke
une belle maison près de la mer avec des fenêtres bleues et un jardin plein de fleurs
el perro corre por la playa con una pelota en la boca, niños jugando en la arena
красивая фотография города ночью, дом у реки и дерево в саду
東京の夜景と富士山の写真 北京 上海 图片 风景"""

CAPTIONS = [
    "a photo of a cat",
    "A PHOTO OF A CAT.",
    "",
    " ",
    "\t\n\r ",
    "a",
    "it's the dog's ball, isn't it? they've we'll I'd you're I'm don't",
    "''s 's's ''' 'S 'LL",
    "1234567890 12.5% $99.99 €5 £7 ¥9",
    "hello...world!!!???---___***",
    "e-mail: someone@example.com http://example.com/a?b=c&d=e#f",
    "AT&amp;T &lt;b&gt;bold&lt;/b&gt; &quot;quoted&quot; &#39;single&#39;",
    "double &amp;amp; escaped &amp;lt;tag&amp;gt;",
    "triple &amp;amp;amp; stays",
    "&nbsp;&nbsp;non&nbsp;breaking&nbsp;",
    "&eacute;t&eacute; &Uuml;ber &szlig; &copy; &trade; &hellip;",
    "&unknown; &; &# &#x; &#xZZ; &#99999999;",
    "&#x41;&#66;&#x1F600;",
    "schÃ¶n und gÃ¼nstig",
    "cafÃ© dÃ©jÃ vu",
    "â€œquotesâ€\x9d and dashes â€” done",
    "“curly” ‘quotes’ „low“ «guillemets»",
    "ﬁne ﬂower ﬀ ligatures Ĳssel",
    "ｆｕｌｌｗｉｄｔｈ　ＴＥＸＴ１２３",
    "Straße GROẞE STRASSE",
    "İstanbul ıIiİ ŞĞÜÖÇ",
    "ΟΔΥΣΣΕΥΣ Σίσυφος ΑΣ",
    "Красивая ФОТОГРАФИЯ города",
    "東京の夜景と富士山",
    "北京　上海、图片。风景！",
    "한국어 사진 설명",
    "صورة جميلة من المدينة",
    "תמונה יפה של העיר",
    "ภาพถ่ายสวยงาม",
    "सुंदर तस्वीर नदी के पास",
    "தமிழ் எழுத்து",
    "😀😃 emoji 👨‍👩‍👧‍👦 family 🇩🇪 flag 👍🏽 skin",
    "❤️ love ☀️ sun ✂ scissors",
    "e\u0301 combining a\u0308 o\u0302\u0323",
    "zalgo t̷̢̛e̶x̸t̵",
    "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom",
    "soft\u00adhyphen and \u2028 line \u2029 paragraph",
    "\u202eright to left override\u202c",
    "null \x00 bell \x07 escape \x1b[31mred\x1b[0m del \x7f",
    "tabs\tand\nnewlines\r\nand\x0bvertical\x0cfeeds\x85next",
    "thin\u2009hair\u200aem\u2003ideographic\u3000spaces",
    "½ ¼ ² ³ ① ⅷ Ⅻ ٣ ४ 五",
    "α β γ ∑ ∫ √ ≠ ≤ ∞ ± × ÷",
    "a" * 300,
    "word " * 100,
    "ab1cd2ef3 x2y3z4",
    "CamelCaseWORDSAndnumbers123Mixed",
    "under_score kebab-case dot.case slash/case back\\slash",
    "Photo: Jane Doe / Agency (2021) [crop] {set} <img>",
    "日本語 English mixed テキスト 123 and 한국",
    "𝓯𝓪𝓷𝓬𝔂 𝕥𝕖𝕩𝕥 𝐛𝐨𝐥𝐝",
    "Ａ Ｂ Ｃ ａｂｃ ！？",
    "naïve façade jalapeño Ærøskøbing Łódź Þór",
    "l'été d'or qu'il n'est",
    "rock 'n' roll '90s o'clock",
    "100% #hashtag @mention ~tilde^caret`tick|pipe",
    "© 2020 Company™ ® № ℃ ℉",
    "Dr. Prof. Sr. etc... i.e., e.g.",
    "the the the the the the the the the the the the the the the the the the the the the the the the the the the "
    "the the the the the the the the the the the the the the the the the the the the the the the the the the the "
    "the the the the the the the the the the the the the the the the the the the the the the the the the the",
    "1" * 120,
    "!?" * 120,
    "x" * 74,
    "q " * 74 + "end",
    "q " * 75 + "end",
    "q " * 76 + "end",
    "\\u0041 %41 =?utf-8?q?x?= \\x41",
    "ﷺ ﷽ ㎏ ㏄ Ω Å",
    "ǅ ǆ Ǆ ǈ",
    "\U0001F1FA\U0001F1F8 \U000E0061 \U0010FFFD",
    "IMG_20190405_123456.jpg DSC0001",
    "Chaîne d’hôtels – l’élégance « à la française »",
    "ÐšÐ¾Ñ‚ Ð¸ ÑÐ¾Ð±Ð°ÐºÐ°",
    "voilÃ  le travail",
    "sin√©mas mac roman",
    "&lt;a href=&quot;x&quot;&gt;link&lt;/a&gt; & plain < less",
]


def byte_alphabet():
    """GPT-2's character for each byte, in CLIP's order: printable Latin-1 first, then the rest."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    characters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(rest))]
    return dict(zip(printable + rest, characters))


def train(corpus, merges):
    """Byte-pair encoding as it was meant: the most frequent pair, the first of equals, again and again."""
    alphabet = byte_alphabet()
    pattern = re.compile(r"[^\W\d_]+|\d|[^\s\w]+")
    words = collections.Counter()
    for word in pattern.findall(corpus.lower()):
        symbols = [alphabet[byte] for byte in word.encode()]
        symbols[-1] += "</w>"
        words[tuple(symbols)] += 1
    learnt = []
    for _ in range(merges):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        learnt.append(best)
        merged = collections.Counter()
        for word, count in words.items():
            out, at = [], 0
            while at < len(word):
                if word[at : at + 2] == best:
                    out.append("".join(best))
                    at += 2
                else:
                    out.append(word[at])
                    at += 1
            merged[tuple(out)] += count
        words = merged
    symbols = list(alphabet.values())
    vocabulary = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(pair) for pair in learnt]
    vocabulary = list(dict.fromkeys(vocabulary)) + ["<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(vocabulary)}, learnt


def vocabulary():
    return train(CORPUS, 250)


def clean(text):
    """open_clip's default cleaning."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip().lower()


def make():
    vocab, merges = vocabulary()
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges)
    rows = []
    for caption in CAPTIONS:
        cleaned = clean(caption)
        ids = tokenizer(cleaned, truncation=True, max_length=77)["input_ids"]
        rows.append({"caption": caption, "clean": cleaned, "ids": ids})
    (HERE / "tokens.json").write_text(json.dumps(rows, indent=0, ensure_ascii=True) + "\n")
