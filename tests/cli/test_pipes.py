"""A pipe or a device in place of a file that a command reads is refused in one line, and never waited for."""

import os
from pathlib import Path

import pytest

from models.lam import Lam
from models.weights import save_model
from tests.support.lams import SMALL
from tests.support.shapes import lam_shape

COMMANDS = {
    "plan.yaml": ["ingest", "--plan", "{file}", "--corpus", "{new}"],
    "settings.yaml": ["stats", "{corpus}", "--config", "{file}"],
    "recipe.yaml": ["curate", "{corpus}", "--recipe", "{file}"],
    "mixture.yaml": ["train", "lam", "{corpus}", "--out", "{new}", "--set", "mixture={file}"],
    "mapping.yaml": ["ingest", "openx/auto", "{folder}", "--corpus", "{new}", "--mapping", "{file}"],
    "model_config.json": ["label", "{corpus}", "--lam", "{folder}"],
    "model.safetensors": ["label", "{corpus}", "--lam", "{folder}"],
    "manifest.json": ["train", "lam", "{folder}", "--out", "{new}"],
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    villa, corpus: str, tmp_path: Path, name: str, kind: str
) -> None:
    file = tmp_path / "given" / name
    if name == "model.safetensors":
        save_model(Lam(lam_shape("tiny", **SMALL)), file.parent)
        file.unlink()
    file.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    paths = {"file": file, "folder": tmp_path / "given", "new": tmp_path / "new", "corpus": corpus}
    said = villa(*(word.format(**paths) for word in COMMANDS[name]))
    assert said.code == 2
    assert name in said.line and "no regular file" in said.line
    assert not (tmp_path / "new").exists()


@pytest.mark.timeout(60)
def test_a_picture_is_not_drawn_over_a_pipe(villa, corpus: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shown.png")
    said = villa("show", corpus, "any", "--out", tmp_path / "shown.png")
    assert said.code == 2
    assert "shown.png: is there already and `villa show` did not draw it" in said.line
