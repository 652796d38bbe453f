"""Two CLIP models of random weights and different shapes, and what transformers embeds with them."""

import collections
import json

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import tokens
from common import HERE, scene

# As tests/it/models.rs has them.
SCENES = [(90, 60, 1), (60, 90, 2), (48, 48, 3), (200, 31, 4), (17, 20, 5), (640, 480, 6)]
CAPTIONS = [
    "a photo of a cat",
    "A red car, in front of the old house!",
    "",
    "das ist ein schönes Bild von der Stadt am Abend",
    "東京の夜景と富士山の写真",
    "word " * 100,
    "x",
    "the quick brown fox jumps over the lazy dog while others are watching",
]


def quick_gelu(vocab):
    """In the manner of OpenAI: quick_gelu, an eos_token_id of 2 that is no end of text, fp16."""
    return "quick-gelu", torch.float16, False, {
        "projection_dim": 40,
        "text_config": {
            "vocab_size": len(vocab), "hidden_size": 48, "intermediate_size": 160, "num_hidden_layers": 2,
            "num_attention_heads": 3, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "eos_token_id": 2,
            "bos_token_id": 0, "pad_token_id": 1,
        },
        "vision_config": {
            "hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
            "image_size": 32, "patch_size": 8, "hidden_act": "quick_gelu",
        },
    }


def gelu(vocab):
    """In the manner of LAION: gelu, the true end of text, other heads, one tokenizer.json, bf16."""
    return "gelu", torch.bfloat16, True, {
        "projection_dim": 24,
        "text_config": {
            "vocab_size": len(vocab) + 5, "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 3,
            "num_attention_heads": 4, "max_position_embeddings": 40, "hidden_act": "gelu",
            "eos_token_id": vocab["<|endoftext|>"], "bos_token_id": vocab["<|startoftext|>"], "pad_token_id": 1,
        },
        "vision_config": {
            "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 48, "patch_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-6,
        },
    }


def randomised(config, dtype):
    """Weights large enough that attention looks somewhere and every bias counts."""
    torch.manual_seed(7)
    model = CLIPModel(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name and name.endswith("weight") or "layrnorm" in name and name.endswith("weight"):
                weight.normal_(1.0, 0.2)
            elif weight.dim() == 1 or "embedding" in name:
                weight.normal_(0.0, 0.3)
            elif weight.dim() > 1:
                weight.normal_(0.0, 1.4 * weight[0].numel() ** -0.5)
    return model.to(dtype)


def make():
    vocab, merges = tokens.vocabulary()
    for shape in (quick_gelu, gelu):
        name, dtype, one_file, config = shape(vocab)
        out = HERE / name
        out.mkdir(exist_ok=True)
        model = randomised(CLIPConfig(**config), dtype)
        model.save_pretrained(out)
        (out / "model.safetensors").chmod(0o644)
        (out / "config.json").write_text(json.dumps({"model_type": "clip", **config}, indent=1) + "\n")
        side = config["vision_config"]["image_size"]
        processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        written = json.loads(processor.to_json_string())
        kept = ("size", "crop_size", "resample", "do_resize", "do_center_crop", "do_rescale", "rescale_factor",
                "do_normalize", "image_mean", "image_std", "do_convert_rgb", "image_processor_type")
        written = {key: written[key] for key in kept if key in written}
        (out / "preprocessor_config.json").write_text(json.dumps(written, indent=1) + "\n")
        tokenizer = CLIPTokenizer(vocab=vocab, merges=merges)
        if one_file:
            tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"), pretty=False)
        else:
            (out / "vocab.json").write_text(json.dumps(vocab) + "\n")
            lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
            (out / "merges.txt").write_text("\n".join(lines) + "\n")
        for extra in ("generation_config.json",):
            (out / extra).unlink(missing_ok=True)
        embed(CLIPModel.from_pretrained(out, dtype=torch.float32).eval(), processor, tokenizer, out)
    save_with_pytorch()


def save_with_pytorch():
    """The weights of `gelu` as `torch.save` writes them, with the position ids that files of old have."""
    weights = collections.OrderedDict(load_file(HERE / "gelu" / "model.safetensors"))
    weights["text_model.embeddings.position_ids"] = torch.arange(40)[None]
    weights._metadata = collections.OrderedDict({"": {"version": 1}})
    torch.save(weights, HERE / "pytorch_model.bin")


@torch.no_grad()
def embed(model, processor, tokenizer, out):
    images = [scene(*size) for size in SCENES]
    pixels = np.stack([processor(image, input_data_format="channels_last")["pixel_values"][0] for image in images])
    image_rows = model.get_image_features(torch.from_numpy(pixels)).pooler_output
    longest = model.config.text_config.max_position_embeddings
    cleaned = [tokens.clean(caption) for caption in CAPTIONS]
    ids = tokenizer(cleaned, truncation=True, max_length=longest, padding=True, return_tensors="pt")["input_ids"]
    text_rows = model.get_text_features(ids).pooler_output
    for name, rows in (("images", image_rows), ("texts", text_rows)):
        rows = torch.nn.functional.normalize(rows, dim=-1)
        np.save(out / f"golden.{name}.npy", rows.numpy())
