"""The real lerobot package reads what we export, and we what it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from tests.support.lerobot_export import rows_of

CHECK = Path(__file__).parents[3] / "lerobot_check"


@pytest.mark.skipif(
    not os.environ.get("VILLA_LEROBOT_PYTHON"), reason="VILLA_LEROBOT_PYTHON is not set; `make check-lerobot` sets it"
)
@pytest.mark.parametrize("name", ["arm_10hz", "arm_4.98hz", "human_hand_10hz"])
def test_the_real_lerobot_package_loads_windows_and_merges_what_was_exported(corpus, out, tmp_path, name):
    root, expected = out / name, tmp_path / "expected.npz"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, CHECK / "expect.py", corpus.uri, root, expected], check=True, env=environment)
    environment |= {"PYTHONPATH": str(CHECK / "stub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [os.environ["VILLA_LEROBOT_PYTHON"], CHECK / "check.py", root, expected],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    content = json.loads(done.stdout.splitlines()[-1])
    assert content["frames"] == len(rows_of(root))


@pytest.mark.skipif(
    not os.environ.get("VILLA_LEROBOT_PYTHON"), reason="VILLA_LEROBOT_PYTHON is not set; `make check-lerobot` sets it"
)
@pytest.mark.parametrize("older", [False, True], ids=["v3.0", "v2.1"])
def test_a_dataset_that_the_real_lerobot_package_wrote_arrives_with_equal_values(tmp_path, older):
    site = os.environ.get("VILLA_LEROBOT_0_3_SITE", "")
    if older and not site:
        pytest.skip("VILLA_LEROBOT_0_3_SITE is not set; `make check-lerobot` sets it")
    path = os.pathsep.join([*([site] if older else []), str(CHECK / "stub")])
    subprocess.run(
        [os.environ["VILLA_LEROBOT_PYTHON"], CHECK / "write.py", tmp_path / "cubes"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
    )
    numbers = np.load(tmp_path / "cubes.npz")
    source = catalog.source("lerobot")(str(tmp_path / "cubes"))
    outcomes = [episode for part in source.parts() for episode in source.read(part)]
    assert [episode.num_steps for episode in outcomes] == [23, 17, 30]
    assert source.layout == ("LeRobot v2.1" if older else "LeRobot v3.0")
    for i, episode in enumerate(outcomes):
        assert np.array_equal(episode.state, numbers[f"state{i}"].astype(np.float32))
        assert np.array_equal(episode.action, numbers[f"action{i}"].astype(np.float32))
        assert np.array_equal(episode.raw_state[:, 6], numbers[f"force{i}"].astype(np.float32))
        assert episode.instruction == [["pick the cube", "place the cube", "pick the cube"][i]]
        assert episode.notes["operator"] == ("ann" if i else "bob")
        wanted = 20 + 60 * i + 5 * (np.arange(episode.num_steps) % 12)
        for frames in episode.cameras.values():
            shown = [simplejpeg.decode_jpeg(data).mean() for data in frames.jpegs]
            assert np.abs(shown - wanted).max() < 2.5
