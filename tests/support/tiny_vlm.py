"""Tiny random vision-language models as `transformers` writes them, tokenizer included."""

import json
from pathlib import Path
from typing import Any

SIZE = 28
PATCH = 14
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": PATCH,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
IMAGE_ID = 127
KINDS = ("paligemma", "paligemma2", "smolvlm", "idefics3")


def model(kind: str, **text: Any) -> Any:
    """Make a model of which every weight is random: biases and norms start at 0 or 1, where mistakes hide."""
    import torch
    import transformers

    torch.manual_seed(0)
    if kind in ("smolvlm", "idefics3"):
        name = {"smolvlm": "SmolVLM", "idefics3": "Idefics3"}[kind]
        language = {
            "model_type": "llama",
            "vocab_size": 128,
            "pad_token_id": 2,
            "rms_norm_eps": 1e-5,
            "rope_theta": 5e3,
        }
        config = getattr(transformers, f"{name}Config")(
            vision_config=VISION,
            text_config={**TEXT, **language, **text},
            scale_factor=2,
            image_token_id=IMAGE_ID,
            pad_token_id=2,
        )
        made = getattr(transformers, f"{name}ForConditionalGeneration")(config)
    else:
        # Gemma 2's queries have a scale of their own.
        second = {"model_type": "gemma2", "query_pre_attn_scalar": 9}
        language = second if kind == "paligemma2" else {"model_type": "gemma"}
        config = transformers.PaliGemmaConfig(
            vision_config={"model_type": "siglip_vision_model", **VISION},
            text_config={**TEXT, **language, "vocab_size": 128, **text},
            image_token_id=IMAGE_ID,
            projection_dim=32,
        )
        made = transformers.PaliGemmaForConditionalGeneration(config)
        made.set_attn_implementation("eager")  # the others leave Gemma 2's bound on scores out
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def write_tokenizer(folder: Path, *, image_id: int = IMAGE_ID) -> None:
    """Write a tokenizer.json of words, with padding, BOS and `<image>` where PaliGemma's has them."""
    special = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "\n": 4, "<image>": image_id}
    vocabulary = [
        "move",
        "the",
        "gripper",
        "to",
        "pick",
        "up",
        "place",
        "put",
        "open",
        "close",
        "drawer",
        "red",
        "green",
        "blue",
        "cube",
        "arm",
        "reach",
        "hand",
        "a",
        "object",
    ]
    vocab = special | {word: 5 + i for i, word in enumerate(vocabulary)}
    stated = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for word, i in special.items()
            if word.startswith("<")
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"String": space}, "behavior": behavior, "invert": False}
                for space, behavior in ((" ", "Removed"), ("\n", "Isolated"))
            ],
        },
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(stated))


def write(folder: Path, kind: str, *, shard: str = "5GB", dtype: str = "float32", **text: Any) -> Any:
    """Write a model's folder as a download has it; return the model."""
    import torch

    made = model(kind, **text)
    made.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    write_tokenizer(folder)
    return made
