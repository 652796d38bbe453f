#!/usr/bin/env python3
"""Writes golden/: a dozen files, their captions, and what `transformers` makes of them.

    python models/tiny-clip/golden.py

Other implementations compare their token ids exactly and their embeddings by cosine. `seen/` has
what the model sees of each file, decoded and resized by Pillow: JPEG decoders differ by a few
levels, and with these pixels a model can be compared without them.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from PIL import Image

import export
import scenes
from evaluate import HERE, Model

# Texts that a tokenizer may stumble on, beside the scenes' own captions.
ODD_TEXTS = [
    "",
    "A RED Circle,  on a   BLUE background!!!",
    "it's three o'clock & 1,234 pixels",
    "ein grüner Stern über dem Meer – naïve café 日本語 🙂",
    "red circle " * 60,
]
COUNT, LARGEST = 12, 20_000


def main():
    """Makes scenes until a dozen files are small enough, and embeds them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes-program", help="the built example, instead of cargo run")
    options = parser.parse_args()
    golden = HERE / "golden"
    shutil.rmtree(golden, ignore_errors=True)
    golden.mkdir()
    with tempfile.TemporaryDirectory() as work:
        data = scenes.generate(
            Path(work), scenes.GOLDEN_SEED, 400, "--min-side=64", "--max-side=320", "--hazard=0.15",
            "--files", program=options.scenes_program,
        )  # fmt: skip
        chosen = choose(data)
        for row in chosen:
            shutil.copy(data.folder / row["file"], golden / row["file"])
    chosen = scenes.Scenes(golden, chosen, None)
    model = Model(HERE)
    write(golden / "golden.json", {**embed(model, chosen), "seen": write_seen(model, chosen)})


def choose(data):
    """Picks small files, as many of every format as there are."""
    small = [row for row in data.rows if (data.folder / row["file"]).stat().st_size <= LARGEST]
    kinds = [[row for row in small if row["file"].endswith(kind)] for kind in ("jpg", "png", "webp")]
    return sorted((row for rows in kinds for row in rows[: COUNT // 3]), key=lambda row: row["file"])


def write(path, values):
    """Writes one line for every field, because thousands of numbers need no line each."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def embed(model, data):
    """Everything another implementation compares with; embeddings have length one."""
    captions = [row["captions"][0]["text"] for row in data.rows] + ODD_TEXTS
    tokens = model.processor.tokenizer(captions, truncation=True).input_ids
    return {
        "images": [row["file"] for row in data.rows],
        "captions": captions,
        "token_ids": tokens,
        "image_embeds": rounded(model.embed_files(data)),
        "text_embeds": rounded(model.embed_texts(captions)),
    }


def write_seen(model, data):
    """Writes what the model sees of each file, as PNG of the model's size; returns their names."""
    (data.folder / "seen").mkdir()
    names = [f"seen/{Path(row['file']).stem}.png" for row in data.rows]
    for row, name in zip(data.rows, names):
        values = model.pixel_values(data.folder / row["file"])
        levels = export.levels(values)
        torch.testing.assert_close(export.pixel_values(levels), values, rtol=0, atol=1e-5)
        Image.fromarray(levels[0].numpy()).save(data.folder / name, optimize=True)
    return names


def rounded(vectors):
    """Enough digits for single precision."""
    return [[round(float(value), 8) for value in vector] for vector in vectors]


if __name__ == "__main__":
    main()
