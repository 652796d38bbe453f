"""Generated scenes: runs the workspace's generator and reads what it wrote.

Every use has a seed of its own, and the demo's web uses others again.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN_SEED, VALIDATION_SEED, TEST_SEED, FILES_SEED, GOLDEN_SEED = 1001, 2002, 3003, 3004, 4004
SIDE = 64


@dataclass
class Scenes:
    """`rows` as captions.jsonl has them; `images` uint8 [count, 64, 64, 3], or None for files."""

    folder: Path
    rows: list
    images: np.ndarray | None

    def __len__(self):
        return len(self.rows)


def generate(folder: Path, seed: int, count: int, *flags, program=None) -> Scenes:
    """Makes `count` scenes under `folder`, unless the very same ones are there already."""
    flags = [f"--seed={seed}", f"--count={count}", f"--size={SIDE}", *flags]
    stamp = folder / "flags.txt"
    if not stamp.exists() or stamp.read_text() != " ".join(flags):
        run = [program] if program else [
            "cargo", "run", "--quiet", "--release", "-p", "cah-demo", "--example", "scenes", "--",
        ]  # fmt: skip
        subprocess.run([*run, *flags, f"--out={folder}"], cwd=REPOSITORY, check=True)
        stamp.write_text(" ".join(flags))
    return load(folder)


def load(folder: Path) -> Scenes:
    """Reads the scenes that lie in `folder`."""
    with open(folder / "captions.jsonl") as lines:
        rows = [json.loads(line) for line in lines]
    pixels = folder / "images.bin"
    images = None
    if pixels.exists():
        images = np.memmap(pixels, np.uint8, "c", shape=(len(rows), SIDE, SIDE, 3))
    return Scenes(folder, rows, images)


def is_true(caption: dict, row: dict) -> bool:
    """Whether everything that the caption claims is a fact of the scene."""
    return set(caption["claims"]) <= set(row["facts"])
