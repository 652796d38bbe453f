#!/usr/bin/env python3
"""Trains the tiny CLIP of this folder from nothing, on generated scenes, on a CPU.

    pip install -r models/tiny-clip/requirements.txt
    python models/tiny-clip/train.py

The scenes come from `cargo run --release -p cah-demo --example scenes`. The same seed, library
versions and number of threads give the same weights.
"""

import argparse
import os
import random
import string
import time
from pathlib import Path

# Threads that spin while they wait for each other make training four times slower wherever
# anything else runs; torch reads this when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

import evaluate
import export
import scenes
from bpe import write_tokenizer

HERE = Path(__file__).resolve().parent

# The classes of every attribute that the scenes come with.
ATTRIBUTES = {
    "colour": 10, "shape": 8, "second_colour": 10, "second_shape": 8, "relation": 2, "count": 4,
    "place": 9, "size": 3, "texture": 7, "ground": 10, "second_ground": 10,
}  # fmt: skip


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the model")
    parser.add_argument("--work", type=Path, default=scenes.REPOSITORY / "target/tiny-clip")
    parser.add_argument("--scenes-program", help="the built example, instead of cargo run")
    parser.add_argument("--count", type=int, default=24_000, help="scenes to train on")
    parser.add_argument("--steps", type=int, default=1_000, help="batches to learn from")
    parser.add_argument("--batch", type=int, default=64, help="scenes in a batch")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--seed", type=int, default=7, help="seed of weights and batches")
    return parser.parse_args()


def main():
    """Makes scenes, tokenizer and model, then evaluates what was written."""
    options = arguments()
    torch.set_num_threads(options.threads)
    random.seed(options.seed)
    torch.manual_seed(options.seed)
    data = scenes.generate(
        options.work / "train", scenes.TRAIN_SEED, options.count, "--without-held-out-kinds",
        program=options.scenes_program,
    )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(options.out, (c["text"] for row in data.rows for c in texts_of(row)))
    config = export.config(size)
    model = train(Batches(data, options), CLIPConfig.from_dict(config), options)
    export.write(options.out, config, model)
    evaluate.choose_and_report(options.out, options.work, options.scenes_program)


def texts_of(row):
    """Lists every caption of one scene."""
    return [*row["captions"], row["ground"], *row["negatives"]]


class Batches:
    """Draws batches of images, true captions, hard negatives and junk."""

    JUNK = 8

    def __init__(self, data, options):
        self.data = data
        self.size = options.batch
        self.random = random.Random(options.seed)
        self.tokenizer = CLIPTokenizer.from_pretrained(options.out)
        self.facts = [frozenset(row["facts"]) for row in data.rows]
        self.order = []
        self.attributes = torch.tensor(
            [[row["attributes"][name] for name in ATTRIBUTES] for row in data.rows]
        )

    def draw(self):
        """Draws the next batch; every scene comes up once before any comes up again."""
        if len(self.order) < self.size:
            self.order = list(range(len(self.data)))
            self.random.shuffle(self.order)
        taken = [self.order.pop() for _ in range(self.size)]
        rows = [self.data.rows[index] for index in taken]
        captions = [self.caption(row) for row in rows]
        negatives = [self.random.choice(row["negatives"]) for row in rows]
        junk = [self.junk(self.random.choice(rows)) for _ in range(self.JUNK)]
        claims = [frozenset(caption["claims"]) for caption in captions]
        true = [[claim <= self.facts[index] for claim in claims] for index in taken]
        texts = [caption["text"] for caption in captions + negatives]
        return {
            "images": export.pixel_values(torch.from_numpy(self.data.images[taken])),
            "captions": self.tokens(texts),
            # Apart from the captions, because it is longer and would lengthen them all.
            "junk": self.tokens(junk),
            "true": torch.tensor(true),
            "attributes": self.attributes[taken],
        }

    def tokens(self, texts):
        """Encodes texts and pads them to the longest of them."""
        return self.tokenizer(texts, padding="longest", truncation=True, return_tensors="pt").input_ids

    def caption(self, row):
        """Draws a true caption, now and then one of the background alone."""
        return row["ground"] if self.random.random() < 0.1 else self.random.choice(row["captions"])

    def junk(self, row):
        """Draws a text that says nothing to us: another language, or made-up words."""
        if self.random.random() < 0.4:
            return self.random.choice(row["foreign"])
        return " ".join(self.made_up_word() for _ in range(self.random.randint(1, 9)))

    def made_up_word(self):
        """Draws a word of random letters, or a number."""
        if self.random.random() < 0.15:
            return str(self.random.randint(0, 9_999))
        return "".join(self.random.choices(string.ascii_lowercase, k=self.random.randint(2, 9)))


class Objective(nn.Module):
    """InfoNCE, a pair-wise yes or no, and attributes; only CLIP's own weights are kept.

    The pair-wise part makes one threshold hold for all pairs, which InfoNCE alone does not.
    """

    def __init__(self, width):
        super().__init__()
        self.heads = nn.Linear(width, sum(ATTRIBUTES.values()))
        self.slope = nn.Parameter(torch.tensor(10.0).log())
        self.threshold = nn.Parameter(torch.tensor(0.3))

    def forward(self, model, batch):
        """Computes the loss and its parts."""
        size = len(batch["images"])
        pooled = model.vision_model(pixel_values=batch["images"]).pooler_output
        images = F.normalize(model.visual_projection(pooled), dim=-1)
        texts = self.embed_texts(model, batch["captions"])
        cosines = images @ texts[:size].T
        hard = (images * texts[size:]).sum(-1, keepdim=True)
        junk = images @ self.embed_texts(model, batch["junk"]).T
        parts = {
            "contrast": self.contrast(model.logit_scale.exp(), cosines, hard, junk, batch["true"]),
            "pairs": self.pairs(cosines, hard, junk, batch["true"]),
            "attributes": self.attributes(pooled, batch["attributes"]),
        }
        return sum(parts.values()), parts

    @staticmethod
    def embed_texts(model, tokens):
        """Token ids to unit vectors."""
        pooled = model.text_model(input_ids=tokens).pooler_output
        return F.normalize(model.text_projection(pooled), dim=-1)

    @staticmethod
    def contrast(scale, cosines, hard, junk, true):
        """InfoNCE in both directions; captions that happen to be true are left out."""
        own = torch.arange(len(cosines))
        also_true = true & ~torch.eye(len(cosines), dtype=torch.bool)
        masked = cosines.masked_fill(also_true, -1.0)
        to_text = F.cross_entropy(scale * torch.cat([masked, hard, junk], 1), own)
        to_image = F.cross_entropy(scale * masked.T, own)
        return (to_text + to_image) / 2

    def pairs(self, cosines, hard, junk, true):
        """Yes or no for every pair, both answers weighing the same."""
        logit = lambda cosine: self.slope.exp() * (cosine - self.threshold)  # noqa: E731
        yes = F.softplus(-logit(cosines.diagonal())).mean()
        no = F.softplus(logit(cosines[~true])).mean()
        return yes + no + 0.2 * F.softplus(logit(hard)).mean() + 0.3 * F.softplus(logit(junk)).mean()

    def attributes(self, pooled, classes):
        """How well the image alone tells each attribute."""
        guesses = self.heads(pooled).split(list(ATTRIBUTES.values()), dim=1)
        losses = [
            F.cross_entropy(guess, classes[:, column].long(), ignore_index=-1)
            for column, guess in enumerate(guesses)
        ]
        return torch.stack(losses).nan_to_num().mean()


class Checkpoint:
    """Training as far as it got, so that a run that was cut off ends with the same weights."""

    def __init__(self, options, batches, *trained):
        self.path = options.work / "checkpoint.pt"
        self.flags = {name: value for name, value in vars(options).items() if isinstance(value, (int, float))}
        self.batches = batches
        self.trained = trained

    def save(self, steps):
        """Writes the state after so many steps, whole or not at all."""
        state = {
            "flags": self.flags,
            "steps": steps,
            "batches": (self.batches.order, self.batches.random.getstate()),
            "trained": [part.state_dict() for part in self.trained],
        }
        fresh = self.path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(self.path)

    def resume(self):
        """Takes up a run with the same flags; returns the number of steps it has done."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=False)
        if state["flags"] != self.flags:
            return 0
        self.batches.order, random_state = state["batches"]
        self.batches.random.setstate(random_state)
        for part, saved in zip(self.trained, state["trained"], strict=True):
            part.load_state_dict(saved)
        print(f"continues after step {state['steps']}")
        return state["steps"]


def train(batches, config, options):
    """Trains a fresh model for the given number of steps."""
    model = CLIPModel(config)
    objective = Objective(config.vision_config.hidden_size)
    weights = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=options.rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=options.steps, pct_start=0.08, div_factor=20,
        cycle_momentum=False,
    )  # fmt: skip
    print(f"{sum(weight.numel() for weight in model.parameters()):,} parameters")
    checkpoint = Checkpoint(options, batches, model, objective, optimizer, schedule)
    started = time.monotonic()
    for step in range(checkpoint.resume(), options.steps):
        loss, parts = objective(model, batches.draw())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=np.log(50))
        if step % 50 == 0 or step == options.steps - 1:
            shown = " ".join(f"{name} {part.item():.3f}" for name, part in parts.items())
            print(f"step {step} {time.monotonic() - started:.0f} s {shown}", flush=True)
            checkpoint.save(step + 1)
    return model


if __name__ == "__main__":
    main()
