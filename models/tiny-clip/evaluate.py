#!/usr/bin/env python3
"""Measures the tiny CLIP of this folder on scenes, phrasings and combinations it never saw.

    python models/tiny-clip/evaluate.py

Prints the table of README.md: how well matches are told from mismatches, precision and recall at
the threshold in cah.json, and how often hazard stripes and ordinary scenes are called unsafe.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

import export
import scenes
from bpe import write_json

HERE = Path(__file__).resolve().parent
HELD_OUT = "--held-out-phrasing"

COLOURS = "red orange yellow green blue purple pink brown black white".split()
# Every colour, and what looks most like warning tape without being it.
NEUTRAL = [
    *(f"shapes on {'an' if colour == 'orange' else 'a'} {colour} background" for colour in COLOURS),
    *(f"yellow and {colour} stripes" for colour in COLOURS if colour not in ("yellow", "black")),
    *(f"black and {colour} stripes" for colour in COLOURS if colour not in ("yellow", "black")),
    "yellow and white checks",
    "yellow and green checks",
    "black and white checks",
    "black and red checks",
    "white dots on yellow",
    "white dots on black",
    "a background fading from yellow to white",
    "a background fading from black to blue",
    "a speckled yellow background",
    "a speckled black background",
]
UNSAFE = [
    "yellow and black hazard stripes",
    "shapes on danger tape",
    "a picture of warning tape",
    "a photo of something on black and yellow warning stripes",
]


def main():
    """Evaluates the weights as they lie in the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE)
    parser.add_argument("--work", type=Path, default=scenes.REPOSITORY / "target/tiny-clip")
    parser.add_argument("--scenes-program", help="the built example, instead of cargo run")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--choose", action="store_true", help="write cah.json first, as train.py does")
    options = parser.parse_args()
    run = choose_and_report if options.choose else report
    figures = run(options.model, options.work, options.scenes_program)
    if options.json:
        write_json(options.json, figures)


def choose_and_report(folder, work, program=None):
    """Picks the threshold on validation scenes, writes cah.json, and reports on test scenes."""
    model = Model(folder)
    data = scenes.generate(
        work / "validation", scenes.VALIDATION_SEED, 4_000, HELD_OUT, program=program
    )
    match, mismatch = cosines(model, model.embed_pixels(data), data)
    settings = {
        "similarity_threshold": best_threshold(match, mismatch),
        "safety": {
            "categories": [
                *({"prompt": prompt, "class": "neutral"} for prompt in NEUTRAL),
                *({"prompt": prompt, "class": "unsafe"} for prompt in UNSAFE),
            ]
        },
    }
    write_json(folder / "cah.json", settings)
    return report(folder, work, program)


def report(folder, work, program=None):
    """Measures on pixels made by the generator and on files read by Pillow, and prints both."""
    settings = json.loads((folder / "cah.json").read_text())
    model = Model(folder)
    pixels = scenes.generate(work / "test", scenes.TEST_SEED, 6_000, HELD_OUT, program=program)
    files = scenes.generate(
        work / "files", scenes.FILES_SEED, 1_200, HELD_OUT, "--max-side=1600", "--files",
        program=program,
    )  # fmt: skip
    figures = {
        "64 px pixels": measure(model, settings, pixels, model.embed_pixels(pixels)),
        "files of 64-1600 px": measure(model, settings, files, model.embed_files(files)),
    }
    print(table(figures))
    return figures


def table(figures):
    """The figures as README.md shows them, a column for each kind of scenes."""
    lines = [["", *figures], ["---", *("---:" for _ in figures)]]
    for name in next(iter(figures.values())):
        values = [column[name] for column in figures.values()]
        lines.append([name, *(f"{v:.4f}" if isinstance(v, float) else f"{v:,}" for v in values)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


class Model:
    """The model as `transformers` loads it from the folder, in single precision."""

    def __init__(self, folder):
        self.clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPProcessor.from_pretrained(folder, backend="pil")

    @torch.inference_mode()
    def embed_images(self, values):
        """float [n, 3, 64, 64] to unit vectors [n, 128]."""
        pooled = self.clip.vision_model(pixel_values=values).pooler_output
        return unit(self.clip.visual_projection(pooled))

    def embed_pixels(self, data):
        """Embeds what the generator has preprocessed."""
        parts = range(0, len(data), 256)
        return np.concatenate(
            [
                self.embed_images(export.pixel_values(torch.from_numpy(data.images[at : at + 256])))
                for at in parts
            ]
        )

    def embed_files(self, data):
        """Embeds files the way `transformers` does, through Pillow."""
        files = (data.folder / row["file"] for row in data.rows)
        return np.concatenate([self.embed_images(self.pixel_values(file)) for file in files])

    def pixel_values(self, file):
        """What the model sees of a file, float [1, 3, 64, 64]."""
        with Image.open(file) as image:
            return self.processor(images=image.convert("RGB"), return_tensors="pt").pixel_values

    @torch.inference_mode()
    def embed_texts(self, texts):
        """Captions to unit vectors [n, 128]."""
        embedded = []
        for at in range(0, len(texts), 256):
            tokens = self.processor.tokenizer(
                texts[at : at + 256], padding="longest", truncation=True, return_tensors="pt"
            )
            pooled = self.clip.text_model(input_ids=tokens.input_ids).pooler_output
            embedded.append(unit(self.clip.text_projection(pooled)))
        return np.concatenate(embedded)


def unit(vectors):
    """Scales vectors to length one."""
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def cosines(model, images, data, name="mismatch"):
    """Cosines of the scenes with a true caption, and with the false one of that name."""
    match = model.embed_texts([row["captions"][0]["text"] for row in data.rows])
    false = [row[name][0] if isinstance(row[name], list) else row[name] for row in data.rows]
    mismatch = model.embed_texts([text["text"] if isinstance(text, dict) else text for text in false])
    return (images * match).sum(1), (images * mismatch).sum(1)


def random_mismatches(model, images, data):
    """Cosines with the captions of other scenes drawn blindly, those that are true left out."""
    texts = model.embed_texts([row["captions"][0]["text"] for row in data.rows])
    other = np.roll(np.arange(len(data)), 1)
    false = np.array(
        [not scenes.is_true(data.rows[j]["captions"][0], row) for row, j in zip(data.rows, other)]
    )
    return (images * texts[other]).sum(1)[false]


def auc(match, mismatch):
    """Area under the ROC curve: how often a match lies above a mismatch."""
    below = np.searchsorted(np.sort(mismatch), match, "left")
    up_to = np.searchsorted(np.sort(mismatch), match, "right")
    return float((below + up_to).mean() / 2 / len(mismatch))


def best_threshold(match, mismatch):
    """The middle of the range of thresholds whose F1 is within 0.2 % of the best."""
    candidates = np.arange(0.1, 0.8, 0.005)
    true = np.array([(match >= threshold).sum() for threshold in candidates])
    false = np.array([(mismatch >= threshold).sum() for threshold in candidates])
    f1 = 2 * true / (true + false + len(match))
    good = candidates[f1 >= f1.max() - 0.002]
    return round(float((good[0] + good[-1]) / 2), 2)


def measure(model, settings, data, images):
    """Every figure of the report for one set of scenes."""
    threshold = settings["similarity_threshold"]
    ordinary = np.array([not row["hazard"] for row in data.rows])
    match, mismatch = cosines(model, images, data)
    _, hard = cosines(model, images, data, "negatives")
    _, foreign = cosines(model, images, data, "foreign")
    rolled = random_mismatches(model, images, data)
    unsafe = unsafe_of_top_two(model, settings, images)
    kept, wrong = (match >= threshold).sum(), (mismatch >= threshold).sum()
    return {
        "scenes": len(data),
        "AUC, captions of contradicting scenes": auc(match, mismatch),
        "AUC, captions of random scenes": auc(match, rolled),
        "AUC, one thing changed": auc(match, hard),
        "mean cosine of matches": float(match.mean()),
        "mean cosine of contradictions": float(mismatch.mean()),
        f"precision at {threshold}": float(kept / (kept + wrong)),
        f"recall at {threshold}": float(kept / len(match)),
        "random captions kept": float((rolled >= threshold).mean()),
        "captions in other languages kept": float((foreign >= threshold).mean()),
        "hazard scenes called NSFW": float((unsafe[~ordinary] == 2).mean()),
        "hazard scenes called UNLIKELY": float((unsafe[~ordinary] == 0).mean()),
        "ordinary scenes called NSFW": float((unsafe[ordinary] == 2).mean()),
        "ordinary scenes called UNSURE": float((unsafe[ordinary] == 1).mean()),
    }


def unsafe_of_top_two(model, settings, images):
    """How many of the two nearest categories are unsafe, for every image."""
    categories = settings["safety"]["categories"]
    prompts = model.embed_texts([category["prompt"] for category in categories])
    unsafe = np.array([category["class"] == "unsafe" for category in categories])
    nearest = np.argsort(-(images @ prompts.T), axis=1)[:, :2]
    return unsafe[nearest].sum(1)


if __name__ == "__main__":
    main()
