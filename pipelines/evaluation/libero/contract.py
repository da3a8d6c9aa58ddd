"""Whether a policy fits LIBERO, by what it was trained on, what LIBERO's recordings are, and what LIBERO shows."""

from contextlib import ExitStack
from pathlib import Path

from dataengine.errors import DataEngineError
from pipelines.evaluation.config import BASELINES
from pipelines.evaluation.contract import Start, refuse, seen_mismatches, start_of, stated_mismatches
from pipelines.evaluation.expectation import expectation
from pipelines.evaluation.libero.config import LiberoConfig
from pipelines.evaluation.libero.crew import START_TRIES
from pipelines.evaluation.libero.remote import RemoteScene, scene_class
from pipelines.evaluation.remote import is_server, metadata_of

STARTS_SEEN = 2
"""At which a policy's statistics are held against what LIBERO shows."""


def require_fit(config: LiberoConfig, python: Path, *, looks: bool) -> str:
    """Say what a policy was held against; raise DataEngineError where it differs.

    `looks` starts a simulator for it: what a policy states is compared in any case.
    """
    policy = config.decider
    if policy in BASELINES:
        return ""
    if is_server(policy) and metadata_of(policy).get("server") != "villa-engine":
        return "the server does not say what its policy was trained on"
    scene = scene_class(config.embodiment)
    expected = expectation(policy, scene, config.acts_as)
    refuse([*stated_mismatches(expected, scene)], config.accept, policy)
    if looks:
        starts = _starts(config, python, scene)
        refuse([*seen_mismatches(expected, scene.name, starts)], config.accept, policy)
    return f"acts as in {expected.dataset or 'its only dataset'}; rate, encodings, grippers, cameras and ranges fit"


def _starts(config: LiberoConfig, python: Path, make: type[RemoteScene]) -> list[Start]:
    """Look at starts: one that the simulator dies or hangs at is passed over, and a fresh simulator shows the next.

    Raise DataEngineError where it shows none.
    """
    starts, scene, lost = list[Start](), None, DataEngineError("LIBERO shows no start")
    with ExitStack() as scenes:
        for number in range(STARTS_SEEN + START_TRIES):
            try:
                scene = scene or scenes.enter_context(
                    make(
                        python,
                        config.played_tasks[0],
                        suite=config.suite,
                        side=config.image_size,
                        quality=config.render_quality,
                        silence_s=config.hang_s,
                    )
                )
                starts.append(start_of(scene, number))
            except DataEngineError as error:
                lost, scene = error, None
            if len(starts) == STARTS_SEEN:
                break
    if not starts:
        raise lost
    return starts
