"""What may go wrong with data and settings of a policy, said before it is trained."""

from collections import Counter
from collections.abc import Iterator

from dataengine import texts
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeReader, LatentInfo
from pipelines.training import data
from pipelines.training.act.config import PolicyConfig

LEAST_SILENT = 0.01
"""Share of steps without an instruction that is told."""


def find_warnings(
    config: PolicyConfig,
    reader: EpisodeReader,
    normalizer: Normalizer,
    latent: LatentInfo | None,
    train: EpisodeTable,
    scale: float,
) -> Iterator[str]:
    """Say what may go wrong with this data and these settings; latent actions are divided by `scale`."""
    if silent := _silent(train):
        yield (
            f"steps without an instruction: {', '.join(silent)}; windows there train without words. Stage "
            f"drop_no_instruction of `villa curate` drops episodes that have none at all"
        )
    if config.padded_actions in ("rest", "middle"):
        robots = sorted({(s.embodiment, s.dataset) for s, _, _ in train.by_setup() if s.kind == "robot"})
        unsaid = [
            f"{body} in {dataset}" for body, dataset in robots if normalizer.of(body, dataset).action.moves is None
        ]
        if unsaid:
            yield (
                f"which action numbers are changes is not known of {', '.join(unsaid)}: steps beyond an episode's end "
                f"teach nothing there; `villa stats` or `villa shard` again may tell"
            )
    if latent is not None and scale == 1.0:
        size = data.latent_rms(reader, latent.name, train)
        if not 0.5 <= size <= 2.0:
            yield (
                f"latent actions '{latent.name}' have a root mean square of {size:.3g}, the noise that they are mixed "
                f"with has 1: most of the learning goes to waste; scale_latents=true divides by it"
            )


def _silent(train: EpisodeTable) -> list[str]:
    """Name the datasets of which nothing is said at a share of the steps, with it."""
    steps, silent = Counter[str](), Counter[str]()
    for setup, _, num_steps in train.by_setup():
        steps[setup.dataset] += num_steps
    for e in train.select(~train.always_spoken()):
        silent[e.dataset] += texts.num_silent(e.texts, e.num_steps)
    return [
        f"{dataset} {silent[dataset] / num_steps:.0%}"
        for dataset, num_steps in sorted(steps.items())
        if silent[dataset] >= LEAST_SILENT * num_steps
    ]
