import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from pipelines import stats
from pipelines.training.lam import lam
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.launch import launch
from tests.pipelines.training.launch import dying
from tests.support import forked
from tests.support.corpora import make_corpus, robot_episode

ROOT = Path(__file__).parents[4]
RUN = "pipelines.training.lam.lam:run"
SMALL = {"preset": "tiny", "steps": 6, "batch_size": 4, "log_every": 1, "checkpoint_every": 2, "val_windows": 8}

QUICK = {
    "RAY_worker_niceness": "0",  # Ray has its workers wait for all other tests
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # instead of 2
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more for each training
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ray") / "corpus"
    make_corpus(path, {"a": [robot_episode(f"r{i}", num_steps=20 + i) for i in range(8)]})
    stats.run(stats.StatsConfig(corpus=str(path)))
    return str(path)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two machines with a core each, which ask for no token, on a machine that has one of other clusters."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    with pytest.MonkeyPatch.context() as patch:
        if "RAY_AUTH_MODE" not in os.environ:  # no cluster of this process has asked for one before
            patch.setenv("RAY_AUTH_TOKEN", 64 * "0")
        for name, value in QUICK.items():
            patch.setenv(name, value)
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        yield cluster.address
        cluster.shutdown()


def losses(out: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines if "loss" in line]


@pytest.mark.slow
def test_a_sharded_run_that_loses_a_worker_and_is_stopped_ends_as_the_one_that_torchrun_started(
    corpus: str, address: str, tmp_path: Path
) -> None:
    settings = {**SMALL, "data": corpus, "device": "cpu", "sharding": "fsdp2", "async_checkpoint": False}
    on_ray = {"launcher": "ray", "ray_address": address, "ray_workers": 2}
    act = "tests.pipelines.training.launch.dying:run", TrainLamConfig(out=tmp_path / "ray", **settings, **on_ray)
    with terminated_once(Path(corpus).parent / "waits"), pytest.raises(SystemExit) as ended:
        launch.run(*act)
    assert ended.value.code == 143
    assert (Path(corpus).parent / "killed").exists()
    shards = {file.name for file in (tmp_path / "ray/checkpoints/step-00000005").iterdir()}
    assert {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"} < shards
    report = launch.run(*act)
    assert isinstance(report, lam.TrainLamReport)
    assert report.finished
    assert report.resumed_from == 5
    whole = TrainLamConfig(out=tmp_path / "torchrun", **settings)
    forked.run(dying.run_whole, whole.model_dump_json(), ranks=2)
    assert losses(tmp_path / "ray") == losses(tmp_path / "torchrun")


@contextmanager
def terminated_once(waits: Path) -> Iterator[None]:
    """Send this process SIGTERM once a file is there."""

    def send() -> None:
        while not waits.exists():
            if over.wait(0.1):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    over = threading.Event()
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_bad_input_is_not_tried_again(corpus: str, address: str, tmp_path: Path) -> None:
    config = TrainLamConfig(
        data=corpus, out=tmp_path, **SMALL, launcher="ray", ray_address=address, mixture={"weights": {"amde": 1}}
    )
    with pytest.raises(DataEngineError, match=r"^mixture names dataset 'amde'.*did you mean 'made'"):
        launch.run(RUN, config)


@pytest.mark.slow
def test_more_workers_than_the_cluster_has_cores_are_refused(corpus: str, address: str, tmp_path: Path) -> None:
    config = TrainLamConfig(
        data=corpus, out=tmp_path, **SMALL, launcher="ray", ray_address=address, ray_workers=3, device="cpu"
    )
    with pytest.raises(DataEngineError, match=r"asks for 3 workers with CPU 1 each, the cluster has CPU 2; give"):
        launch.run(RUN, config)


def test_a_cluster_that_nobody_answers_for_is_one_line(corpus: str, tmp_path: Path) -> None:
    config = TrainLamConfig(data=corpus, out=tmp_path / "run", launcher="ray", ray_address="127.0.0.1:9", **SMALL)
    with pytest.raises(DataEngineError, match=r"^cannot reach the Ray cluster at '127.0.0.1:9': .*--launcher local"):
        launch.run(RUN, config)
    assert not (tmp_path / "run").exists()


def test_only_the_launcher_itself_imports_ray(corpus: str, tmp_path: Path) -> None:
    """Nor does a training take `launcher=ray` for one that it can do alone."""
    config = TrainLamConfig(data=corpus, out=tmp_path / "run", launcher="ray", **SMALL)
    with pytest.raises(ValueError, match="launcher=ray: only"):
        lam.run(config)
    code = "import sys; from pipelines.training.launch import launch; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
