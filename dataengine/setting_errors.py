"""What is wrong with settings, in one line with the nearest setting that there is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from dataengine.naming import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo

ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "learning_rate": ("lr",),
    "batch": ("batch_size",),
    **dict.fromkeys(("epochs", "num_epochs", "max_steps", "num_steps", "train_steps", "max_train_steps"), ("steps",)),
    **dict.fromkeys(("gradient_accumulation_steps", "accumulate_grad_batches"), ("grad_accumulation_steps",)),
    **dict.fromkeys(("grad_clip", "clip_grad_norm", "grad_clip_norm", "gradient_clip_val"), ("max_grad_norm",)),
    **dict.fromkeys(("save_every", "save_freq", "save_interval", "save_steps"), ("checkpoint_every",)),
    **dict.fromkeys(("log_freq", "log_interval"), ("log_every",)),
    **dict.fromkeys(("output_dir", "output", "save_dir"), ("out",)),
    **dict.fromkeys(("num_workers", "n_workers", "jobs", "num_proc"), ("workers", "threads")),
    **dict.fromkeys(("chunk_size", "action_horizon", "n_action_steps"), ("model.horizon", "horizon")),
    **dict.fromkeys(("gradient_checkpointing", "activation_checkpointing"), ("checkpoint_activations",)),
    **dict.fromkeys(("num_episodes", "n_episodes"), ("episodes",)),
    "env": ("simulator",),
    "fp16": ("bf16",),
}
"""What other projects call our settings."""

ON_COMMAND_LINE = "give --{option} or --set {key}=..."

EXPECTED = {
    "list_type": "a list, such as {key}=[a, b]",
    "tuple_type": "a list, such as {key}=[a, b]",
    "dict_type": "keys and values, such as {key}={{a: b}}",
    "mapping_type": "keys and values, such as {key}={{a: b}}",
    "model_type": "keys and values, such as {key}={{a: b}}",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
"""By the kind of an error, what a value should have been."""


def explain(error: "ValidationError", config: type["BaseModel"], how: str = ON_COMMAND_LINE) -> str:
    """Say the first thing that is wrong with the settings in one line, with the nearest key there is.

    `how` says how a missing `{key}` is given, which is `{option}` on a command line.
    """
    first, *others = error.errors(include_url=False)
    key = ".".join(str(word) for word in first["loc"])
    if first["type"] == "extra_forbidden":
        line = f"no setting '{key}'; {nearest(key, list(keys(config)))}"
    elif first["type"] == "missing":
        field = config.model_fields.get(key)
        is_list = field is not None and str(field.annotation).startswith(("list", "tuple"))
        # An option that may be given again is named in the singular.
        option = (key.removesuffix("s") if is_list else key).replace("_", "-")
        line = f"'{key}' is missing; {how.format(key=key, option=option)}"
    elif not key:
        line = first["msg"].removeprefix("Value error, ")
    else:
        wanted = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        if first["type"] in EXPECTED:
            wanted = f"expected {EXPECTED[first['type']].format(key=key)}"
        line = f"setting '{key}': found {repr(first['input'])[:80]}, {wanted}"
    return line + (f" (and {len(others)} more)" if others else "")


def nearest(key: str, known: Sequence[str]) -> str:
    """Suggest the nearest of the known keys; one is also found by its last word, and by what others call it."""
    bare = key.removeprefix("--").replace("-", "_").rpartition(".")[2]
    for ours in ELSEWHERE.get(bare, ()):
        for name in (ours, f"--{ours.replace('_', '-')}"):
            if name in known:
                return f"did you mean '{name}'?"
    return did_you_mean(key, known, f"known: {', '.join(k for k in known if '.' not in k)}")


def keys(config: type["BaseModel"]) -> Iterator[str]:
    """List every key that `--set` takes, nested ones with dots."""
    for name, info in config.model_fields.items():
        yield name
        for inner in inside(info):
            yield from (f"{name}.{key}" for key in keys(inner))


def inside(info: "FieldInfo") -> list[type["BaseModel"]]:
    """Find the settings inside a setting: classes in its type, or those that it holds changes to."""
    return [*changes_to(info), *nested(info.annotation)]


def changes_to(info: "FieldInfo") -> list[type["BaseModel"]]:
    """Find the model's settings that a dict of changes is about."""
    return [mark.config for mark in info.metadata if type(mark).__name__ == "ChangesTo"]


def nested(annotation: Any) -> list[type["BaseModel"]]:
    """Find the settings inside a type: the model classes among its parts."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for inner in get_args(annotation) for each in nested(inner)]
