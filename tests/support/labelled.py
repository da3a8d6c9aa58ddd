"""Corpora to label, models to label them with, and what was written."""

from dataengine.store import Corpus
from dataengine.windows import labels
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.lams import make_lam


def make_robots_and_hands(path):
    parts = {
        "a": [robot_episode("0"), robot_episode("1", num_steps=9), robot_episode("2", num_steps=2)],
        "b": [robot_episode("3", control_hz=25.0, embodiment="arm2", num_steps=40), human_clip("wave")],
        "c": [human_clip("blind", cameras=False), human_clip("flat", control_hz=3.0)],
    }
    return make_corpus(path, parts)


def make_models(corpus, tmp_path, **settings):
    jpegs = corpus.jpegs("primary", [(corpus.episode_ids()[0], i) for i in range(30)])
    for i, name in enumerate(("one", "two")):
        make_lam(tmp_path / name, jpegs, seed=i, **settings)
    return tmp_path / "one", tmp_path / "two"


def labels_of(uri, name):
    corpus = Corpus.open(uri)
    info = labels.label_info(corpus.schema, name)
    rows = corpus.table(["source_record", *labels.label_columns(corpus.schema, name)])
    codebook, out = labels.label_codebook(corpus.schema, name), {}
    for record, *cells in zip(*rows.columns, strict=True):
        if cells[0].is_valid:
            out[record.as_py()] = labels.unflatten(info, codebook, *(cell.values.to_numpy() for cell in cells))
    return out
