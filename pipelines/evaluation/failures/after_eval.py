"""Explains the failures of an evaluation that was just played: `villa eval SIM POLICY --mine-failures CORPUS`."""

from pathlib import Path

from pipelines.evaluation.config import BASELINES, RolloutConfig
from pipelines.evaluation.failures import failures
from pipelines.evaluation.failures.config import FailuresConfig
from pipelines.evaluation.failures.report import FailuresReport
from pipelines.evaluation.failures.rollouts import of_files
from pipelines.evaluation.held_out import held_out_by
from pipelines.evaluation.remote import is_server
from pipelines.evaluation.rollouts import RolloutFiles


def check(config: RolloutConfig) -> None:
    """Raise DataEngineError or ValueError, before anything is played, where corpus or model are not there."""
    from models.weights import load_lam
    from pipelines.training.data import open_reader

    assert config.lam is not None, "the settings ask for it"
    load_lam(config.lam)
    open_reader(config.mine_failures)


def mine(config: RolloutConfig, played: RolloutFiles, device: str | None) -> FailuresReport:
    """Find the training episodes nearest to the failures of these tasks and starts; a folder beside `out` has them."""
    assert config.lam is not None, "the settings ask for it"
    settings = FailuresConfig(
        rollouts=str(played.out),
        corpus=config.mine_failures,
        lam=config.lam,
        val_fraction=_held_out(played.policy),
        out=_beside(played.out),
        device=device,
    )
    return failures.mine(settings, of_files(file for file in played.files if file.exists()))


def _beside(out: Path) -> Path:
    """Name the folder of the failures beside that of an evaluation, which may be called `.`."""
    named = out if out.name.strip(".") else out.resolve()
    return named.with_name(f"{named.name}.failures")


def _held_out(policy: str) -> float:
    """Share of episodes that a policy's training held out, as its checkpoint says; none of a policy from elsewhere."""
    from pipelines.training.act.stated import stated

    if policy in BASELINES or is_server(policy):
        return 0.0
    return held_out_by(stated(policy)[1])
