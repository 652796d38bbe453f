"""What transformers' CLIPImageProcessor makes of images, with Pillow."""

import json

import numpy as np
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from common import HERE, scene

OUT = HERE / "preprocess"

CASES = [
    # width, height, configuration
    (640, 480, {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}),
    (500, 375, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    (375, 500, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    (1600, 901, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    (64, 64, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    (64, 91, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    (50, 30, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    (1000, 10, {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    (3, 700, {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    (223, 225, {"size": {"shortest_edge": 97}, "crop_size": {"height": 97, "width": 97}}),
    (301, 200, {"size": {"shortest_edge": 40}, "crop_size": {"height": 52, "width": 52}}),
    (301, 200, {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}, "resample": 2}),
    (301, 200, {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}, "resample": 1}),
    (301, 200, {"size": {"height": 48, "width": 56}, "do_center_crop": False}),
]


def make():
    OUT.mkdir(exist_ok=True)
    index, levels, offset = [], [], 0
    for seed, (width, height, config) in enumerate(CASES):
        config = {"do_rescale": False, "do_normalize": False, **config}
        image = scene(width, height, seed)
        truth = CLIPImageProcessorPil(**config)(image, input_data_format="channels_last")["pixel_values"][0]
        truth = np.asarray(truth).astype(np.uint8)
        index.append(
            {"width": width, "height": height, "seed": seed, "config": config, "shape": truth.shape, "offset": offset}
        )
        levels.append(truth.ravel())
        offset += truth.size
    (OUT / "index.json").write_text(json.dumps(index, indent=1) + "\n")
    np.save(OUT / "levels.npy", np.concatenate(levels))
    # Every level of every channel, normalised.
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    values = processor(ramp, input_data_format="channels_last")["pixel_values"][0]
    np.save(OUT / "normalised.npy", np.ascontiguousarray(values, dtype=np.float32).reshape(3, 256))
