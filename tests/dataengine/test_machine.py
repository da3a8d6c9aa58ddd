"""Cores and memory of the machine, or of the container that a process is in."""

import os
import sys
from pathlib import Path

import pytest

from dataengine import machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def make_machine(folder: Path, monkeypatch: pytest.MonkeyPatch, available: int, swap: int, groups: str) -> None:
    (folder / "proc/self").mkdir(parents=True)
    facts = {"MemTotal": 64_000_000, "MemAvailable": available, "SwapFree": swap}
    (folder / "proc/meminfo").write_text("".join(f"{name}: {number} kB\n" for name, number in facts.items()))
    (folder / "proc/self/cgroup").write_text(groups)
    monkeypatch.setattr(machine, "PROC", folder / "proc")
    monkeypatch.setattr(machine, "GROUPS", folder / "groups")
    monkeypatch.setattr(machine, "_machine_bytes", lambda: 64_000_000 * 1024)


def make_group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def test_free_memory_is_that_of_the_machine_without_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_machine(tmp_path, monkeypatch, available=1000, swap=24, groups="0::/\n")
    make_group(tmp_path / "groups", {"memory.max": "max", "memory.current": 7, "memory.stat": ""})
    assert machine.free_bytes() == 1024 * 1024
    assert machine.total_bytes() == 64_000_000 * 1024


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_any_group_above_holds_and_what_its_files_can_give_back_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    groups = {1: "9:cpu:/a\n4:pids,memory:/a/b\n", 2: "0::/a/b\n"}[version]
    make_machine(tmp_path, monkeypatch, available=1_000_000, swap=0, groups=groups)
    home = tmp_path / "groups" / ("memory" if version == 1 else "")
    if version == 1:
        of_b = {"memory.limit_in_bytes": 2**63 - 4096, "memory.usage_in_bytes": 5, "memory.stat": ""}
        stat = "total_inactive_file 30\ntotal_active_file 40"
        of_a = {"memory.limit_in_bytes": 5000, "memory.usage_in_bytes": 4000, "memory.stat": stat}
    else:
        of_b = {"memory.max": "max", "memory.current": 5, "memory.stat": ""}
        of_a = {"memory.max": 5000, "memory.current": 4000, "memory.stat": "inactive_file 30\nactive_file 40"}
    make_group(home / "a", of_a)
    make_group(home / "a/b", of_b)
    assert machine.free_bytes() == 1070
    assert machine.total_bytes() == 5000


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a/b\n", {"a": {"cpu.max": "250000 100000"}, "a/b": {"cpu.max": "max 100000"}}, 3),
        ("0::/a/b\n", {"a": {"cpu.max": "max 100000"}, "a/b": {"cpu.max": "50000 100000"}}, 1),
        ("0::/\n", {"": {"cpu.max": "200000 100000"}}, 2),
        ("4:cpu,cpuacct:/a\n", {"cpu/a": {"cpu.cfs_quota_us": 400_000, "cpu.cfs_period_us": 100_000}}, 4),
        ("4:cpu,cpuacct:/a\n", {"cpu/a": {"cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 100_000}}, 8),
        ("4:memory:/a\n", {"a": {"cpu.max": "100000 100000"}}, 8),
        ("0::/a\n", {"a": {"cpu.max": "nonsense"}}, 8),
        ("0::/a\n", {"a": {"cpu.max": "9900000 100000"}}, 8),
    ],
)
def test_a_container_has_the_cores_that_its_groups_grant(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    files: dict[str, dict[str, object]],
    expected: int,
) -> None:
    make_machine(tmp_path, monkeypatch, available=1, swap=0, groups=groups)
    for folder, held in files.items():
        make_group(tmp_path / "groups" / folder, held)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.num_cores() == expected


def test_a_process_has_the_cores_that_it_is_pinned_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "PROC", tmp_path)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert machine.num_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
