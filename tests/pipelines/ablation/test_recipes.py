"""Recipes of `villa ablate`."""

import pytest

from dataengine.errors import DataEngineError
from pipelines.ablation.config import AblateConfig, Arm, act_settings, lam_settings, load_arms
from pipelines.recipes import recipes


def test_every_recipe_that_ships_has_arms_that_train():
    for name in recipes.names("ablate"):
        for arm in load_arms((name,)).values():
            assert arm.about


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("act: {use_latent: false}\nepochs: 3\n", "arm 'mine', epochs: Extra inputs are not permitted"),
        ("arms: {a: {}}\nabout: two\n", "expected `arms:`, with `defaults:` at most"),
        ("arms: [a]\n", "expected `arms:`, with `defaults:` at most"),
        ("arms: {a: {}}\ndefaults: {act: 3}\n", "arm 'a', defaults.act: Input should be a valid dictionary"),
        ("published: {here: many}\n", "arm 'mine', published.here"),
        ("act: {seed: 3}\n", "arm 'mine', act: 'seed' is decided by --seeds; leave it out here"),
        ("act: {latent: other}\n", "arm 'mine', act: 'latent' is decided by the arm's `lam` or by --latent"),
        ("act: {data: shards}\n", "arm 'mine', act: 'data' is decided by --corpus"),
        ("act: {out: runs}\n", "arm 'mine', act: 'out' is decided by --out"),
        ("lam: {out: runs}\n", "arm 'mine', lam: 'out' is decided by --out"),
        ("label: {name: other}\n", "arm 'mine', label: 'name' is decided by the ablation"),
        ("arms: {a: {}}\ndefaults: {act: {seed: 3}}\n", "arm 'a', defaults.act: 'seed' is decided by --seeds"),
    ],
)
def test_a_recipe_that_is_none_costs_a_line(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DataEngineError, match=said):
        load_arms((str(tmp_path / "mine.yaml"),))


def test_the_command_goes_beyond_what_a_recipe_takes_by_default_and_not_beyond_what_makes_an_arm(tmp_path):
    """So `villa ablate claim --set act.steps=300` is the same comparison, made shorter."""
    (tmp_path / "mine.yaml").write_text(
        "defaults: {lam: {steps: 700}, act: {steps: 800, lr: 0.1}}\n"
        "arms: {a: {act: {use_latent: false}}, b: {act: {lr: 0.2}, defaults: {act: {steps: 5}}}}\n"
    )
    arms = load_arms((str(tmp_path / "mine.yaml"),))
    given = {"recipes": ("mine",), "corpus": "corpus", "out": tmp_path / "out"}
    plain, short = AblateConfig(**given), AblateConfig(**given, act={"steps": 300, "use_latent": True})
    assert act_settings(plain, arms["a"]) == {"steps": 800, "lr": 0.1, "use_latent": False}
    assert act_settings(short, arms["a"]) == {"steps": 300, "lr": 0.1, "use_latent": False}
    assert act_settings(plain, arms["b"]) == {"steps": 5, "lr": 0.2}
    assert lam_settings(plain, arms["a"]) == {"steps": 700}


def test_two_arms_of_one_name_are_refused():
    with pytest.raises(DataEngineError, match="there is an arm 'hidden' already"):
        load_arms(("hidden", "hidden"))
    with pytest.raises(DataEngineError, match=r"no recipe of `villa ablate` 'hiden'; did you mean 'hidden'"):
        load_arms(("hiden",))


def test_an_arm_without_a_plan_needs_no_latent_actions():
    assert not Arm(act={"use_latent": False}).has_plan
