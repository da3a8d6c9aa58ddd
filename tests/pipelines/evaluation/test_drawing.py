"""How MuJoCo draws: chosen where nobody chose, and one line where it cannot."""

import os

import pytest

from pipelines.evaluation.clients.drawing import choose_backend, drawing_fault


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, "")
    return monkeypatch


@pytest.mark.parametrize(("given", "taken"), [("", "egl"), (" ", "egl"), ("osmesa", "osmesa"), ("GLFW", "glfw")])
def test_an_empty_choice_is_none(environment: pytest.MonkeyPatch, given: str, taken: str) -> None:
    environment.setenv("MUJOCO_GL", given)
    choose_backend()
    assert os.environ["MUJOCO_GL"] == taken
    assert os.environ["PYOPENGL_PLATFORM"] == ("" if taken == "glfw" else taken)


def test_a_window_without_a_display_is_one_line(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MUJOCO_GL", "glfw")
    said = drawing_fault()
    assert "DISPLAY names none; unset MUJOCO_GL" in said
    assert "\n" not in said
