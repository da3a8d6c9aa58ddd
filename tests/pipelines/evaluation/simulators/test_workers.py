"""Worker processes: their results, their deaths, and what they print."""

import os
import time
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.simulators._workers import count, run_jobs


def double(job: int) -> tuple[int, str]:
    print("a library says hello")  # noqa: T201
    return 2 * job, os.environ["OMP_NUM_THREADS"]


def die(job: int) -> None:
    os._exit(job)


def refuse(job: int) -> None:
    raise DataEngineError(f"job {job} is bad")


def test_results_come_with_their_job_from_single_threaded_workers_that_leave_stdout_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert sorted(run_jobs(double, [5, 6, 7], processes=2)) == [(0, (10, "1")), (1, (12, "1")), (2, (14, "1"))]
    assert capfd.readouterr().out == ""
    assert os.environ["OMP_NUM_THREADS"] == "7"


def play(job: int) -> int:
    for _ in range(job):
        count()
    return job


def test_what_jobs_count_is_told_while_they_work() -> None:
    counted: list[int] = []
    assert sorted(run_jobs(play, [3, 4], 2, counted.append)) == [(0, 3), (1, 4)]
    assert sum(counted) == 7


def test_no_jobs_start_no_process() -> None:
    assert list(run_jobs(double, [], processes=2)) == []


def test_a_worker_that_dies_is_one_clear_line() -> None:
    with pytest.raises(DataEngineError, match=r"a worker process died .* run the command again"):
        list(run_jobs(die, [9], processes=1))


def test_what_a_job_refuses_reaches_the_caller() -> None:
    with pytest.raises(DataEngineError, match="job 3 is bad"):
        list(run_jobs(refuse, [3], processes=1))


def work(job: tuple[Path, int]) -> None:
    folder, number = job
    if number == 0:
        while not (folder / "1.begun").exists():
            time.sleep(0.01)
        return
    (folder / f"{number}.begun").touch()
    time.sleep(1)
    (folder / f"{number}.ended").touch()


def test_whoever_stops_looking_waits_for_what_was_begun(tmp_path: Path) -> None:
    jobs = run_jobs(work, [(tmp_path, number) for number in range(8)], 2)
    assert next(iter(jobs)) == (0, None)
    jobs.close()
    begun = {path.stem for path in tmp_path.glob("*.begun")}
    assert begun == {path.stem for path in tmp_path.glob("*.ended")}
    assert "1" in begun
    assert len(begun) < 7, "those that were not begun never are"
