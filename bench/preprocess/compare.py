"""Makes photo-like images and runs both halves over the same files in turns.

Usage: compare.py OUR_BINARY IMAGE_FOLDER [ROUNDS]

What counts is the processor time of each process, less that of a run without a pass, so that a busy machine
disturbs the ratio little; the median of the rounds is shown.
"""

import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np
from PIL import Image, features
from PIL import __version__ as pillow_version

IMAGES = 12
PASSES = 4
FORMATS = {
    "jpeg": ("JPEG", lambda rng: {"quality": int(rng.integers(75, 96))}),
    "png": ("PNG", lambda rng: {}),
    "webp": ("WEBP", lambda rng: {"quality": int(rng.integers(70, 91))}),
}
PEER = pathlib.Path(__file__).with_name("peer.py")


def photo(rng):
    """Noise in octaves, a horizon and some edges: compresses about as a photograph does."""
    width, height = (int(side) for side in rng.integers(500, 1601, 2))
    total = np.zeros((height, width, 3), dtype=np.float32)
    for octave in range(7):
        cells = 3 * 2**octave
        small = rng.random((cells, cells, 3), dtype=np.float32)
        channels = [
            np.asarray(Image.fromarray(small[:, :, c]).resize((width, height), Image.Resampling.BICUBIC))
            for c in range(3)
        ]
        total += np.stack(channels, axis=-1) * 0.62**octave
    total[height // 2 :] *= 0.7
    for _ in range(8):
        x, y = int(rng.integers(0, width - 60)), int(rng.integers(0, height - 60))
        total[y : y + int(rng.integers(20, 200)), x : x + int(rng.integers(20, 200))] += rng.random(3) * 0.8 - 0.4
    total += rng.normal(0, 0.012, total.shape).astype(np.float32)
    total = (total - total.min()) / (total.max() - total.min())
    return Image.fromarray((total * 255).astype(np.uint8))


def make_images(root):
    rng = np.random.default_rng(20211)
    for name, (kind, options) in FORMATS.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(IMAGES):
            path, image, how = folder / f"{index:02}.{name}", photo(rng), options(rng)
            if not path.exists():
                image.save(path, kind, **how)


def cpu_seconds(command):
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    return usage.ru_utime + usage.ru_stime


def main():
    ours, root = sys.argv[1], pathlib.Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    make_images(root)
    print(f"Pillow {pillow_version} (libjpeg-turbo {features.version('libjpeg_turbo')}, "
          f"libwebp {features.version('webp')}), numpy {np.__version__}, Python {sys.version.split()[0]}; "
          f"{IMAGES} images a format, {rounds} rounds")
    print("| format | Pillow + numpy, ms/image | ours, ms/image | ratio |")
    print("|---|---|---|---|")
    halves = {"peer": [sys.executable, str(PEER)], "ours": [ours]}
    for name in FORMATS:
        times = {half: [] for half in halves}
        for _ in range(rounds):
            for half, command in halves.items():
                run = [*command, str(root / name)]
                start = cpu_seconds([*run, "0"])
                times[half].append((cpu_seconds([*run, str(PASSES)]) - start) / PASSES / IMAGES * 1000)
        peer, mine = statistics.median(times["peer"]), statistics.median(times["ours"])
        ratios = statistics.median(p / m for p, m in zip(times["peer"], times["ours"]))
        print(f"| {name} | {peer:.2f} | {mine:.2f} | {ratios:.2f} |", flush=True)


if __name__ == "__main__":
    main()
