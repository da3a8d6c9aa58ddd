"""Whether a policy fits LIBERO, by what it was trained on, what LIBERO's recordings are, and what LIBERO shows."""

from pathlib import Path

from pipelines.evaluation.config import BASELINES
from pipelines.evaluation.contract import refuse, seen_mismatches, stated_mismatches
from pipelines.evaluation.expectation import expectation
from pipelines.evaluation.libero.config import LiberoConfig
from pipelines.evaluation.libero.remote import RemoteScene
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
    scene_class = _scene_class(config.embodiment)
    expected = expectation(policy, scene_class, config.acts_as)
    refuse([*stated_mismatches(expected, scene_class)], config.accept, policy)
    if looks:
        with scene_class(
            python, config.played_tasks[0], suite=config.suite, side=config.image_size, quality=config.render_quality
        ) as scene:
            refuse([*seen_mismatches(expected, scene, range(STARTS_SEEN))], config.accept, policy)
    return f"acts as in {expected.dataset or 'its only dataset'}; rate, encodings, grippers, cameras and ranges fit"


def _scene_class(embodiment: str) -> type[RemoteScene]:
    """Give LIBERO with its robot called as in the policy's corpus."""
    return type("NamedScene", (RemoteScene,), {"embodiment": embodiment})
