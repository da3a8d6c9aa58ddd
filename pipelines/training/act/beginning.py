"""What a policy from scratch begins with: weights that others trained, or none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from models.act import Act, ActConfig
from models.act.trunk_weights import check_trunk, load_trunk
from models.vlm import pretrained as published
from models.vlm.pretrained import Pretrained
from pipelines.training.act import pretrained
from pipelines.training.act.config import RANDOM, TrainActConfig
from pipelines.training.tokenizer import FILE_NAME, Tokenizer


@dataclass(frozen=True)
class Beginning:
    """Weights that were given, checked; none where a run goes on, which has its own."""

    vlm: str | None = None
    decided: dict[str, Any] | None = None
    """Fields of `VlmConfig` that pretrained weights decide."""
    published_vlm: Pretrained | None = None
    wrist: Path | None = None
    tokenizer: Path | None = None
    """The tokenizer of the pretrained model."""

    def describe(self, config: TrainActConfig, shape: ActConfig) -> Iterator[str]:
        """Say where weights come from, and what they decide."""
        if self.published_vlm is not None:
            yield f"vision-language model: {self.published_vlm.family.title} of {self.published_vlm.folder}"
            yield from pretrained.differences(config.preset_model()["vlm"], self.published_vlm.settings, shape.vlm)
        if self.published_vlm is not None and shape.wrist is not None and self.wrist is None:
            yield "wrist camera: random weights; wrist_weights=FILE gives it those of a ResNet-18"

    def load(self, model: Act) -> None:
        """Fill in the weights, tensor by tensor."""
        if self.published_vlm is not None:
            published.load(model.vlm, self.published_vlm)
        if self.wrist is not None:
            assert model.robot.context.wrist is not None
            load_trunk(model.robot.context.wrist.trunk, self.wrist)

    def recorded(self) -> dict[str, Any]:
        """Give what a run that goes on must know without the folder."""
        return {pretrained.RECORD: {"vlm": self.vlm, "settings": self.decided}} if self.decided else {}

    def check_tokenizer(self, path: Path, tokenizer: Tokenizer) -> None:
        """Refuse a tokenizer that places the pretrained model's `<image>` elsewhere: it is of another model."""
        stated = self.published_vlm.stated if self.published_vlm else {}
        expected = stated.get("image_token_id", stated.get("image_token_index"))
        there = tokenizer.id_of("<image>")
        if expected is not None and there is not None and there != expected:
            raise DataEngineError(
                f"{path}: <image> is token {there}, expected {expected} as config.json of {self.vlm} says; it is the "
                f"tokenizer of another model"
            )


def begin(config: TrainActConfig, shape: ActConfig) -> Beginning:
    """Find and check what was given; raise ValueError in one line for what does not fit the policy."""
    vlm = None if config.vlm == RANDOM else config.vlm
    if saved := pretrained.checkpoints(config.out):
        decided = pretrained.remembered(vlm, config.out) if vlm else None
        return Beginning(vlm=vlm, decided=decided, tokenizer=saved[-1] / FILE_NAME if decided else None)
    if config.wrist_weights is not None:
        if shape.wrist is None:
            raise ValueError(
                "wrist_weights: this preset has no wrist encoder; give it one: model.wrist.widths=[64, 128, 256, 512]"
            )
        check_trunk(shape.wrist, config.wrist_weights)
    if vlm is None:
        return Beginning(wrist=config.wrist_weights)
    weights = published.read(pretrained.folder(vlm))
    published.check(weights, shape.vlm)
    tokenizer = weights.folder / FILE_NAME
    if config.tokenizer is None and not tokenizer.exists():
        raise ValueError(
            f"{weights.folder}: no {FILE_NAME}, without which its words mean nothing; download it, too, or give "
            f"tokenizer=FILE"
        )
    return Beginning(vlm, weights.settings, weights, config.wrist_weights, tokenizer)
