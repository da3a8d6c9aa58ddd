"""Mixtures by name, and what they mean for a run."""

from pathlib import Path

import pytest

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.windows.mixture import DatasetShare, Mixture
from pipelines.recipes import recipes
from pipelines.recipes.mixture import NamedMixture, describe


class Settings(Config):
    mixture: NamedMixture = Mixture()


def test_the_villa_x_mixture_is_half_robots_half_people() -> None:
    """Percents of the paper's Table 5, which round to 100."""
    weights = Settings(mixture="villa-x").mixture.weights  # type: ignore[arg-type]
    assert weights is not None
    robots = sum(float(w) for name, w in weights.items() if name.startswith("openx/") or name == "agibot")
    assert robots == pytest.approx(50, abs=0.05)
    assert sum(float(w) for w in weights.values()) == pytest.approx(100, abs=0.1)


def test_the_ablation_takes_a_tenth_of_two_robots() -> None:
    mixture = Settings(mixture="villa-x-ablation").mixture  # type: ignore[arg-type]
    frames = {"openx/fractal20220817_data": 300, "openx/bridge_orig": 100, "something_something": 600, "agibot": 5000}
    shares = mixture.shares(frames)
    assert shares == {
        "openx/fractal20220817_data": 0.3,
        "openx/bridge_orig": 0.1,
        "something_something": 0.6,
    }
    assert set(mixture.fractions.values()) == {0.1}


def test_a_recipe_can_be_changed_by_the_key() -> None:
    mixture = Settings(mixture={"recipe": "villa-x", "optional": "all", "temperature": 2}).mixture  # type: ignore[arg-type]
    assert (mixture.optional, mixture.temperature) == ("all", 2)
    assert mixture.shares({"agibot": 10, "openx/kuka": 10})["agibot"] == pytest.approx(20**0.5 / (20**0.5 + 1.97**0.5))


def test_a_mixture_of_ones_own_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("weights: {agibot: 1}")
    assert Settings(mixture=str(tmp_path / "mine.yaml")).mixture.weights == {"agibot": 1}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "said"), [("vila-x", "did you mean 'villa-x'"), ("no.yaml", "No such file"), ("zzz", "known: villa-x")]
)
def test_an_unknown_mixture_is_told_in_one_line(name: str, said: str) -> None:
    with pytest.raises(DataEngineError, match=said):
        Settings(mixture=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", recipes.names("mixture"))
def test_every_mixture_that_ships_is_sound(name: str) -> None:
    assert Settings(mixture=name).mixture.weights  # type: ignore[arg-type]


def test_the_epochs_of_a_run_are_told() -> None:
    shares = [DatasetShare(dataset="agibot", episodes=3, windows=50, share=0.25)]
    said = describe(shares, 400, ["openx/kuka"])
    assert [word for word in said.splitlines()[2].split() if word] == ["agibot", "3", "50", "25.00", "%", "100", "2"]
    assert "openx/kuka" in said.splitlines()[-1]
