"""Recipes of `villa ablate`."""

import pytest

from dataengine.errors import DataEngineError
from pipelines.ablation.config import Arm, load_arms
from pipelines.recipes import recipes


def test_every_recipe_that_ships_has_arms_that_train():
    for name in recipes.names("ablate"):
        for arm in load_arms((name,)).values():
            assert arm.about


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("act: {use_latent: false}\nepochs: 3\n", "arm 'mine', epochs: Extra inputs are not permitted"),
        ("arms: {a: {}}\nabout: two\n", "expected `arms:` alone"),
        ("arms: [a]\n", "expected `arms:` alone"),
        ("published: {here: many}\n", "arm 'mine', published.here"),
    ],
)
def test_a_recipe_that_is_none_costs_a_line(tmp_path, words, said):
    (tmp_path / "mine.yaml").write_text(words)
    with pytest.raises(DataEngineError, match=said):
        load_arms((str(tmp_path / "mine.yaml"),))


def test_two_arms_of_one_name_are_refused():
    with pytest.raises(DataEngineError, match="there is an arm 'hidden' already"):
        load_arms(("hidden", "hidden"))
    with pytest.raises(DataEngineError, match=r"no recipe of `villa ablate` 'hiden'; did you mean 'hidden'"):
        load_arms(("hiden",))


def test_an_arm_without_a_plan_needs_no_latent_actions():
    assert not Arm(act={"use_latent": False}).has_plan
