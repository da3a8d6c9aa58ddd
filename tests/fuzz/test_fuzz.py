"""Damaged inputs are read or refused by name: no other exception, no hang, little memory, nothing changed in silence.

`python -m tests.fuzz` reads as many of new seeds as you like.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.damage import BY_SUFFIX, damage
from tests.fuzz.groups import GROUPS
from tests.fuzz.misbehaving import EXPECTED
from tests.fuzz.misbehaving import GROUPS as MISBEHAVING
from tests.fuzz.pool import GOOD, Input, Outcome, hunt

EACH = 8
"""Inputs of a group: half a minute in all."""
BROKE = [
    Input("lerobot images", 20063),
    Input("recipes", 90025),
    Input("openx", 91090),
    Input("lerobot v3.0", 91163),
    Input("clips egohod", 1061),
]
"""Inputs that a reader could not bear once."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    trees = tmp_path_factory.mktemp("fuzz") / "trees"
    # In a process of its own, as it needs tensorflow.
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "0", "--trees", str(trees)]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    inputs = [Input(group, seed) for group in GROUPS for seed in range(EACH)]
    return list(hunt(trees, [*inputs, *BROKE]))


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_damaged_inputs_are_read_or_refused_by_name(outcomes: list[Outcome], group: str) -> None:
    mine = [outcome for outcome in outcomes if outcome.input.group == group]
    assert len(mine) == EACH + sum(each.group == group for each in BROKE)
    bad = [f"{o.kind}: --group '{group}' --seed {o.input.seed}: {o.about}" for o in mine if o.kind not in GOOD]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("suffix", [*BY_SUFFIX, ".npy"])
def test_a_seed_makes_the_same_damage_again(suffix: str) -> None:
    from tests.fuzz.damage import json_text

    sound = {
        ".json": b'{"a": [1, "b"]}',
        ".jsonl": b'{"a": 1}\n{"a": 2}\n',
        ".yaml": b"a: 1\nb: [x]\n",
        ".safetensors": (2).to_bytes(8, "little") + b"{}",
        ".png": b"\x89PNG\r\n\x1a\n" + (0).to_bytes(4, "big") + b"IEND" + bytes(4),
    }.get(suffix, bytes(range(256)) * 8)
    for seed in range(20):
        first, again = (damage(f"x{suffix}", sound, np.random.default_rng(seed)) for _ in range(2))
        assert first == again
    assert json_text(b'{"a": 1}', np.random.default_rng(1)) != json_text(b'{"a": 1}', np.random.default_rng(2))


@pytest.mark.slow
def test_what_goes_wrong_is_told_of_the_input_that_did_it(tmp_path: Path) -> None:
    for name, group in MISBEHAVING.items():
        group.build(tmp_path / name)
    outcomes = list(
        hunt(tmp_path, [Input(name, 1) for name in MISBEHAVING], groups="tests.fuzz.misbehaving", long_s=1.0)
    )
    assert {outcome.input.group: outcome.kind for outcome in outcomes} == EXPECTED
