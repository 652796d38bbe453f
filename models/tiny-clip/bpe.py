"""The byte-level BPE of CLIP, learnt from our own captions.

The vocabulary is laid out as OpenAI's is: 256 bytes, the same 256 at the end of a word
(`</w>`), one token a merge, then start and end of text, so that the end has the highest id.
"""

import json
import re
from collections import Counter
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"

# CLIP's way to cut a text into words, for the plain ASCII of our captions.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")


def byte_alphabet():
    """Lists a printable character for each of the 256 bytes, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def learn_merges(texts, count):
    """Learns up to `count` merges, the commonest pair first; ties go by the alphabet."""
    frequency = Counter(word for text in texts for word in WORDS.findall(text.lower()))
    words = {word: (*word[:-1], word[-1] + "</w>") for word in frequency}
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, pieces in words.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += frequency[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {word: merge(pieces, best) for word, pieces in words.items()}
    return merges


def merge(pieces, pair):
    """Joins every occurrence of `pair` in `pieces`."""
    joined, position = [], 0
    while position < len(pieces):
        if pieces[position : position + 2] == pair:
            joined.append("".join(pair))
            position += 2
        else:
            joined.append(pieces[position])
            position += 1
    return tuple(joined)


def write_tokenizer(folder: Path, texts, merges=267, positions=77):
    """Learns the tokenizer and writes its four files as OpenAI's folder has them."""
    learnt = learn_merges(texts, merges)
    alphabet = byte_alphabet()
    tokens = alphabet + [letter + "</w>" for letter in alphabet]
    tokens += ["".join(pair) for pair in learnt] + [START, END]
    assert len(tokens) == len(set(tokens)), "a merge made a token twice"
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in learnt)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    write_json(folder / "special_tokens_map.json", special)
    settings = {
        **special,
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": positions,
        "tokenizer_class": "CLIPTokenizer",
    }
    write_json(folder / "tokenizer_config.json", settings)
    return len(tokens)


def write_json(path: Path, value):
    """Writes `value` as people like to read it."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
