"""The folder as openai/clip-vit-base-patch32 lays it out: configuration, weights, preprocessing."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from bpe import write_json

MEAN = [0.48145466, 0.4578275, 0.40821073]
DEVIATION = [0.26862954, 0.26130258, 0.27577711]
SIDE, PATCH, WIDTH, PROJECTION = 64, 8, 128, 128


def config(vocabulary: int) -> dict:
    """The model's shape; the vocabulary's last token ends a text, the one before starts it."""
    tower = {
        "attention_dropout": 0.0,
        "dropout": 0.0,
        "hidden_act": "quick_gelu",
        "hidden_size": WIDTH,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 4 * WIDTH,
        "layer_norm_eps": 1e-05,
        "num_attention_heads": 4,
        "projection_dim": PROJECTION,
    }
    text = {
        **tower,
        "model_type": "clip_text_model",
        "num_hidden_layers": 2,
        "max_position_embeddings": 77,
        "vocab_size": vocabulary,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
    vision = {
        **tower,
        "model_type": "clip_vision_model",
        "num_hidden_layers": 4,
        "image_size": SIDE,
        "patch_size": PATCH,
        "num_channels": 3,
    }
    return {
        "architectures": ["CLIPModel"],
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "model_type": "clip",
        "projection_dim": PROJECTION,
        "text_config": text,
        "torch_dtype": "float32",
        "vision_config": vision,
    }


PREPROCESSING = {
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": MEAN,
    "image_processor_type": "CLIPImageProcessor",
    "image_std": DEVIATION,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": SIDE},
}


def pixel_values(images: torch.Tensor) -> torch.Tensor:
    """uint8 [n, 64, 64, 3] to what the vision tower takes, float [n, 3, 64, 64]."""
    scaled = images.float() / 255
    return ((scaled - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(0, 3, 1, 2)


def levels(values: torch.Tensor) -> torch.Tensor:
    """The way back from `pixel_values`."""
    scaled = values.permute(0, 2, 3, 1) * torch.tensor(DEVIATION) + torch.tensor(MEAN)
    return (scaled * 255).round().to(torch.uint8)


def write(folder: Path, config: dict, model):
    """Writes everything but the tokenizer, weights in half precision."""
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", PREPROCESSING)
    weights = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith("position_ids")
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
