"""The peer's half: what transformers' CLIPImageProcessor does with Pillow and numpy, without its checks.

Usage: peer.py FOLDER PASSES
"""

import io
import pathlib
import sys

import numpy as np
from PIL import Image

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
SIZE = 224


def preprocess(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    longer = int(SIZE * long / short)
    size = (SIZE, longer) if width <= height else (longer, SIZE)
    levels = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    top, left = (size[1] - SIZE) // 2, (size[0] - SIZE) // 2
    levels = levels[top : top + SIZE, left : left + SIZE]
    values = (levels.astype(np.float64) * (1 / 255)).astype(np.float32)
    return np.ascontiguousarray(((values - MEAN) / STD).transpose(2, 0, 1))


if __name__ == "__main__":
    folder, passes = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    for _ in range(passes):
        for data in files:
            preprocess(data)
