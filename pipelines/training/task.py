"""What a model that is trained must say of itself: its settings, windows, batches, weights, and how it is evaluated."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args

from pydantic import Field
from torch import Tensor, nn

from dataengine.report import Report
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import EpisodeReader, WindowSpec
from models.parts import Counts, Random
from pipelines.training import data
from pipelines.training.config import TrainConfig
from pipelines.training.distributed import Distributed
from pipelines.training.frames import Buffers
from pipelines.training.loading import Collator, num_buffers
from pipelines.training.protocols import Callback, Trainable
from pipelines.training.seen import seen
from pipelines.training.validation import Pictures


class Validated(Report):
    """A look at held-out windows."""

    step: int
    loss: float
    figures: dict[str, float]
    """What describes the loss: its parts, and how the model fares."""


class TrainReport(Report):
    """What a training run has reached."""

    out: str
    preset: str
    step: int
    steps: int
    finished: bool
    resumed_from: int = 0
    """Step that this call went on from; the last one where there was nothing left to train."""
    parameters: int
    train_episodes: int
    held_out_episodes: int
    eval_split: str = "held-out episodes"
    """Or `training episodes`, where nothing was held out."""
    shares: dict[str, float] = Field(default_factory=dict)
    """How often each dataset was drawn."""
    seconds: float = 0.0
    steps_per_s: float = 0.0
    loader_ms: dict[str, float] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    """The last entry of metrics.jsonl."""
    val_last: Validated | None = None
    """Last look at held-out windows while training, with the weights that the run exports."""
    val_best: Validated | None = None
    """The look with the lowest loss; of a LAM, since its codebook started."""
    curve: str = ""
    """Path of metrics.jsonl."""
    broken_episodes: list[str] = Field(default_factory=list)
    """Episodes with pictures that do not decode, met in this call: windows that show them were left out."""

    def where(self) -> str:
        """Say how far the run is."""
        return f"step {self.step} of {self.steps}, {self.parameters / 1e6:.2f} M parameters, {self.seconds:.0f} s"

    def summary(self) -> str:
        """Say where the model is, and how it was evaluated once it is finished."""
        if not self.finished:
            return f"{self.out}: {self.where()}; time is up, the same command continues"
        prefix = "already finished; " if self.steps and self.resumed_from == self.step else ""
        return "\n".join([f"{self.out}: {prefix}{self.where()}", *self.results(), *self._validation()])

    def _validation(self) -> Iterable[str]:
        """Say where the loss on held-out windows was lowest."""
        if self.val_last is not None:
            best = self.val_best
            lowest = f", lowest {best.loss:.4f} at step {best.step}" if best else ""
            yield f"loss on held-out windows: {self.val_last.loss:.4f} at step {self.val_last.step}{lowest}"

    def results(self) -> Iterable[str]:
        """Say how good a finished model is, in lines and tables."""
        return ()


@dataclass(frozen=True)
class TrainingData:
    """An opened corpus or folder of shards, its episodes parted."""

    reader: EpisodeReader
    train: EpisodeTable
    held_out: EpisodeTable
    """Episodes that training never sees."""

    @property
    def eval_episodes(self) -> EpisodeTable:
        """Episodes that the trained model is evaluated on."""
        return self.held_out or self.train


C = TypeVar("C", bound=TrainConfig)
M = TypeVar("M", bound=nn.Module)
A = TypeVar("A", bound=Collator[Any])
R = TypeVar("R", bound=TrainReport)


class TrainTask(ABC, Generic[C, M, A, R]):
    """One model's part in a training run; `fit` does the rest.

    It is made once the data is open; whatever does not fit together is refused here, before any weight is drawn.
    """

    name: ClassVar[str]
    products: ClassVar[tuple[str, ...]] = ()
    """Files that it leaves in the run's folder, beside those that every run has."""
    spec: WindowSpec
    """The windows that one example is made of."""

    def __init__(self, config: C, training_data: TrainingData, distributed: Distributed) -> None:
        self.config, self.data, self.distributed = config, training_data, distributed

    @classmethod
    def config_class(cls) -> type[C]:
        """Give the settings that it was declared with: `class ActTask(TrainTask[TrainActConfig, ...])`."""
        (base,) = (base for base in cls.__orig_bases__ if get_args(base))  # type: ignore[attr-defined]
        return get_args(base)[0]

    @abstractmethod
    def collator(self, buffers: Buffers) -> A:
        """Make what turns windows into batches."""

    @abstractmethod
    def make(self) -> M:
        """Make the model as it is trained, its weights newly initialised."""

    def build(self) -> M:
        """Make the model to train; its weights may come from elsewhere."""
        return self.make()

    def lr_scale(self, name: str) -> float:
        """Give the factor on the learning rate of the weight of this name."""
        return 1.0

    def deliver(self, model: M) -> M:
        """Make of the trained model, whose weights may be averaged, the one that is exported and evaluated."""
        return model

    def evaluate_batch(self, model: M, batch: Any, random: Random, counts: Counts | None) -> Mapping[str, Tensor]:
        """Give the loss of a held-out batch, `loss`, and figures that describe it; those of training, here."""
        loss, figures = cast(Trainable, model).loss(batch, random, counts)
        return {**figures, "loss": loss}

    def figures_of(self, model: M, means: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Make of the means over some held-out rows, of one dataset or embodiment, what describes them.

        The means are those of `models.parts.mean_of`, by name; one that is over nothing is left out.
        """
        return means

    def flops(self, model: M) -> float | None:
        """Count the operations that training takes for a window now; None where nobody has counted them."""
        return None

    def val_pictures(self, model: M, batch: Any) -> Pictures:
        """Draw what the model makes of a few held-out windows, where that costs little."""
        return {}

    @property
    def val_best_from(self) -> int:
        """Step from which losses of held-out windows can be compared with later ones."""
        return 0

    @abstractmethod
    def evaluate(self, model: M, collator: A, shares: Mapping[str, float]) -> dict[str, Any]:
        """Evaluate the trained model on episodes it never saw; return fields of the report."""

    @abstractmethod
    def report(self, facts: Mapping[str, Any]) -> R:
        """Make the report from the facts that every run has and from what `evaluate` returned."""

    def check(self) -> Iterable[str]:
        """Say what may go wrong with this data and these settings."""
        return ()

    def identity(self) -> dict[str, Any]:
        """Give what must not change between the calls of one run."""
        return {**seen(self.data.reader), **self.config.fixed_on_resume()}

    def extra(self) -> dict[str, Any]:
        """Give what goes into `model_config.json`: where the data came from, statistics, settings."""
        return {**data.origin(self.data.reader), "training": self.config.recorded()}

    def files(self) -> Mapping[str, str]:
        """Give small text files that belong beside the weights, by name."""
        return {}

    def callback(self, model: M) -> Callback | None:
        """Make what reads each entry of the metrics as the run goes on."""
        return None

    def make_buffers(self) -> Buffers:
        """Make room for the pictures of all batches that are in use at once."""
        return Buffers(num_buffers(self.config.grad_accumulation_steps), pinned=self.distributed.device.type == "cuda")


def episode_counts(training_data: TrainingData) -> dict[str, Any]:
    """Give the fields of a report that count episodes."""
    held_out: Sequence[EpisodeInfo] = training_data.held_out
    return {
        "train_episodes": len(training_data.train),
        "held_out_episodes": len(held_out),
        "eval_split": "held-out episodes" if held_out else "training episodes",
    }
