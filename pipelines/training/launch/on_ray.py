"""Ray Train as a launcher: the same act with the same settings in every worker, as torchrun would start it.

Ray keeps no checkpoints of ours: when a worker is lost it starts all of them anew, and each goes on from the newest
checkpoint of the run's folder, which all machines share.
"""

import contextlib
import math
import os
import pickle
import pkgutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Ray asks for both at import. Its helpers complain, once a second, of a dashboard that need not be there.
os.environ.setdefault(
    "RAY_DEDUP_LOGS_SKIP_REGEX",
    "Failed to query Ray Train Controller actor state|Failed to send resource request|'PreemptionWatcher' and ID",
)
os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")  # else each line of a training comes twice

import ray
from ray.exceptions import RayError

from dataengine.errors import DataEngineError
from dataengine.runners.ray import connected
from pipelines.training.config import TrainConfig
from pipelines.training.distributed import give_up_s
from pipelines.training.guards.hang import LostRankError

INSTALL = "pip install 'villa-engine[ray]'"


def run(act: str, *args: Any) -> Any:
    """Run an act in `ray_workers` workers; return the report of the first."""
    config: TrainConfig = args[-1]
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # paths of settings are relative to where the command was given
    if not sys.stderr.isatty():
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise DataEngineError(f"--launcher ray needs Ray Train ({error}); {INSTALL}") from error
    with connected(config.ray_address, "--launcher local needs none", log_to_driver=True):
        workers, resources = _workers(config, ray.cluster_resources())
        outcome = ray.remote(num_cpus=0)(_Outcome).remote()
        settings = {
            "work": pickle.dumps((act, (*args[:-1], config.model_copy(update={"launcher": "local"})))),
            "outcome": outcome,
            "folder": str(Path.cwd()),
            "search": sys.path,
        }
        with tempfile.TemporaryDirectory(prefix="villa-ray-") as notes:
            trainer = TorchTrainer(
                _work,
                train_loop_config=settings,
                torch_config=TorchConfig(timeout_s=math.ceil(give_up_s(config.hang_timeout_s))),
                scaling_config=ScalingConfig(
                    num_workers=workers, use_gpu=resources.get("GPU", 0) > 0, resources_per_worker=resources
                ),
                run_config=RunConfig(
                    name=config.out.name,
                    storage_path=notes,
                    failure_config=FailureConfig(max_failures=config.ray_max_failures),
                ),
            )
            failure = _fit(trainer)
        refusal, report = ray.get(outcome.read.remote())
    if refusal is not None:
        raise refusal
    if report is None:
        raise failure or KeyboardInterrupt
    return report


def _fit(trainer: Any) -> DataEngineError | None:
    """Wait for the workers; return what ended them for good."""
    from ray.train import TrainingFailedError

    try:
        with _own_signals():
            trainer.fit()
    except (TrainingFailedError, RayError) as error:
        cause = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        return DataEngineError(f"--launcher ray: {cause.strip()}; the same command goes on from the last checkpoint")
    return None


@contextlib.contextmanager
def _own_signals() -> Any:
    """Give Ctrl-C back to this command: Ray takes it over and does not return it."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # only the main thread has signals
            signal.signal(signal.SIGINT, before)


def _workers(config: TrainConfig, has: Mapping[str, float]) -> tuple[int, dict[str, float]]:
    """Choose how many workers of which size, and refuse what the whole cluster lacks: Ray would wait for ever."""
    gpus = has.get("GPU", 0) if config.device in (None, "cuda") else 0
    resources = config.ray_resources or ({"GPU": 1, "CPU": 1} if gpus else {"CPU": 1})
    workers = config.ray_workers or max(int(gpus), 1)
    for name, each in resources.items():
        if each * workers > has.get(name, 0):
            there = ", ".join(f"{key} {value:g}" for key, value in sorted(has.items()) if key in ("CPU", "GPU", name))
            raise DataEngineError(
                f"--launcher ray asks for {workers} workers with {name} {each:g} each, the cluster has {there}; give "
                f"fewer --ray-workers, other --ray-resources, or add machines"
            )
    return workers, resources


class _Outcome:
    """Keeps what became of a run, beside its workers: Ray itself takes bad input for bad luck, and tries again."""

    def __init__(self) -> None:
        self._refusal: bytes | None = None
        self._report: bytes | None = None

    def refuse(self, error: bytes) -> None:
        self._refusal = self._refusal or error

    def is_refused(self) -> bool:
        return self._refusal is not None

    def end(self, report: bytes) -> None:
        self._report = report

    def read(self) -> tuple[Any, Any]:
        return tuple(None if each is None else pickle.loads(each) for each in (self._refusal, self._report))  # type: ignore[return-value]


def _work(settings: Mapping[str, Any]) -> None:
    """Run in a worker; Ray has told it its rank as torchrun would, and the process group is there."""
    sys.path.extend(path for path in settings["search"] if path not in sys.path)
    outcome = settings["outcome"]
    if ray.get(outcome.is_refused.remote()):
        return  # it was started again, after another worker met bad input
    try:
        _enter(settings["folder"])
        act, args = pickle.loads(settings["work"])
        report = pkgutil.resolve_name(act)(*args)
    except LostRankError:
        raise  # Ray starts all of them again
    except DataEngineError as error:
        ray.get(outcome.refuse.remote(pickle.dumps(error)))
        raise
    if os.environ["RANK"] == "0":
        ray.get(outcome.end.remote(pickle.dumps(report)))


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise DataEngineError(
            f"--launcher ray: worker {os.environ['RANK']} has no folder {folder} ({error.strerror}); give the command "
            f"in a folder that all machines share"
        ) from error
