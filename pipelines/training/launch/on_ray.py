"""Ray Train as a launcher: the same act with the same settings in every worker, as torchrun would start it.

Ray keeps no checkpoints of ours: when a worker is lost it starts all of them anew, and each goes on from the newest
checkpoint of the run's folder, which all machines share.
"""

import contextlib
import math
import os
import pickle
import pkgutil
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dataengine.errors import DataEngineError, is_disk_full
from dataengine.runners.ray import connected
from pipelines.training.checkpoint.writing import OtherRankError
from pipelines.training.config import TrainConfig
from pipelines.training.distributed import give_up_s
from pipelines.training.interrupts import Interrupts
from pipelines.training.launch.outcome import Outcome
from pipelines.training.lost_rank import LostRankError

LOOK_EVERY_S = 0.25
"""Seconds between two looks for a signal, and for a worker that has refused."""
GET_S = 10.0
"""Longest wait for an answer of the actor between the two."""
ENDED_WITHIN_S = 10.0
"""Seconds in which the command ends the workers of a run that one of them has refused; one that only leaves would be
missed by the others, and reported by Ray at length."""
HOPELESS = (DataEngineError, ValueError, FileNotFoundError, NotADirectoryError, PermissionError)
"""What another attempt would raise again."""
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
    with _explained(), connected(config.ray_address, "--launcher local needs none", log_to_driver=True):
        workers, resources = _workers(config, ray.cluster_resources())
        outcome = _outcome()
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
            failure = _fit(trainer, outcome)
        refusal, report = (each and pickle.loads(each) for each in ray.get(outcome.read.remote()))
        if report is None:
            raise refusal or failure or KeyboardInterrupt
    return report


def _outcome() -> Any:
    """Start an actor on this machine: that of a worker may be lost."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Outcome).remote()


def _fit(trainer: Any, outcome: Any) -> BaseException | None:
    """Wait for the workers, hand on the first SIGINT or SIGTERM to them; return what ended them for good."""
    controllers: list[Any] = []
    trainer._register_sigint_handler = controllers.append  # Ray's own handler ends the workers in mid-step
    failure: BaseException | None = None
    with Interrupts() as interrupts, _watched(interrupts, outcome, controllers):
        try:
            trainer.fit()
        except Exception as error:
            failure = error
    if interrupts.seen and ray.get(outcome.read.remote()) == (None, None):
        signal.raise_signal(interrupts.seen)  # no step was under way that could be saved
        return KeyboardInterrupt() if interrupts.seen == signal.SIGINT else SystemExit(128 + interrupts.seen)
    return failure


@contextlib.contextmanager
def _watched(interrupts: Interrupts, outcome: Any, controllers: Sequence[Any]) -> Iterator[None]:
    """Tell the workers of a signal; end all of them where none heeds it, or one has refused."""
    over = threading.Event()

    def watch() -> None:
        asked = must_end = False
        while not over.wait(LOOK_EVERY_S):
            with contextlib.suppress(RayError):  # whoever waits for the workers says so
                if interrupts.seen and not asked:
                    must_end, asked = not ray.get(outcome.interrupt.remote(interrupts.seen), timeout=GET_S), True
                must_end = must_end or ray.get(outcome.is_refused.remote(), timeout=GET_S)
                if must_end and controllers:
                    ray.kill(controllers[0])
                    return

    thread = threading.Thread(target=watch, name="outcome", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Say in one line what Ray says at length."""
    from ray.train import TrainingFailedError

    try:
        yield
    except (TrainingFailedError, RayError) as error:
        raise DataEngineError(
            f"--launcher ray: {_cause(error)}; the same command goes on from the last checkpoint"
        ) from error


def _cause(error: Exception) -> str:
    """Say in a line what ended a run: of workers that failed, the one that was killed, which the others miss."""
    for rank, failure in getattr(error, "worker_failures", {}).items():
        if "worker process has died" in str(failure):
            where = re.search(r"\bip: (\S+)", str(failure))
            return (
                f"no word from rank {rank} ({where[1] if where else 'unknown machine'}): killed, perhaps for memory "
                f"(see dmesg there)"
            )
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


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


def _work(settings: Mapping[str, Any]) -> None:
    """Run in a worker; Ray has told it its rank as torchrun would, and the process group is there."""
    sys.path.extend(path for path in settings["search"] if path not in sys.path)
    outcome = settings["outcome"]
    if ray.get(outcome.is_over.remote()):
        return  # it was started again, after another worker met bad input
    try:
        _enter(settings["folder"])
        act, args = pickle.loads(settings["work"])
        with _listening(outcome):
            report = pkgutil.resolve_name(act)(*args)
    except LostRankError:
        raise  # Ray starts all of them again
    except (KeyboardInterrupt, SystemExit) as stopped:
        ray.get(outcome.stop.remote(pickle.dumps(stopped)))  # all workers stop together
        return
    except OtherRankError:
        time.sleep(ENDED_WITHIN_S)  # that one says why
        raise
    except Exception as error:
        if isinstance(error, HOPELESS) or is_disk_full(error):
            ray.get(outcome.refuse.remote(pickle.dumps(error)))
            time.sleep(ENDED_WITHIN_S)
        raise
    if os.environ["RANK"] == "0":
        ray.get(outcome.report.remote(pickle.dumps(report)))


@contextlib.contextmanager
def _listening(outcome: Any) -> Iterator[None]:
    """Let the first worker hear of a signal that its command got; it tells the others, as one that got it itself."""
    over = threading.Event()

    def listen() -> None:
        while not over.wait(LOOK_EVERY_S):
            with contextlib.suppress(RayError):  # the command is gone, and all this with it
                if number := ray.get(outcome.interrupted.remote(Interrupts.are_heeded())):
                    Interrupts.ask(number)

    if os.environ["RANK"] == "0":
        threading.Thread(target=listen, name="interrupts", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise DataEngineError(
            f"--launcher ray: worker {os.environ['RANK']} has no folder {folder} ({error.strerror}); give the command "
            f"in a folder that all machines share"
        ) from error
