from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import DataEngineError
from dataengine.windows import labels
from dataengine.windows.window import LatentInfo

INFO = LatentInfo(name="base", fingerprint="abc", k=2, d=3, interval_s=0.7)


def test_a_column_says_who_made_it():
    schema = pa.schema([pa.field("episode_id", pa.string()), *labels.label_fields(INFO, "wrist")])
    assert labels.label_names(schema) == ["base"]
    assert labels.label_info(schema, "base") == INFO
    assert labels.label_slot(schema, "base") == "wrist"
    alone = replace(INFO, past_frames=False)
    assert labels.label_info(labels.label_fields(alone, "wrist"), "base") == alone


def test_labels_from_before_there_were_kinds_may_depend_on_the_past():
    field = labels.label_fields(INFO, "primary").field(0)
    metadata = {key: value for key, value in field.metadata.items() if key != b"villa:past_frames"}
    assert labels.origin(field.with_metadata(metadata)).past_frames


def test_an_unknown_label_is_refused_with_the_known_names():
    with pytest.raises(DataEngineError, match=r"no latent actions called 'other' .*; known: base"):
        labels.label_info(labels.label_fields(INFO, "primary"), "other")


def test_a_column_without_origin_is_refused():
    schema = pa.schema([pa.field("codes__mine", pa.list_(pa.int16()))])
    with pytest.raises(DataEngineError, match="codes__mine does not say villa:lam_fingerprint"):
        labels.label_info(schema, "mine")


@pytest.mark.parametrize(("wish", "name"), [("LAM Base-v2", "lam_base_v2"), ("base", "base"), (".x/", "x")])
def test_names_are_made_fit_for_columns(wish, name):
    assert labels.label_name(wish) == name


def test_a_name_without_letters_is_refused():
    with pytest.raises(DataEngineError, match="has no letter"):
        labels.label_name("//")


def test_flat_values_get_their_shape_back():
    latent, codes = labels.unflatten(INFO, None, np.arange(8, dtype=np.int16), np.arange(24, dtype=np.float32))
    assert latent.shape == (4, 2, 3)
    assert codes.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_vectors_are_rows_of_the_codebook_to_the_last_bit():
    codebook = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    codebook[2] = [np.nextafter(np.float32(1), np.float32(2)), -0.0, np.float32(1e-42)]
    schema = labels.label_fields(INFO, "wrist", codebook)
    assert (labels.label_names(schema), labels.label_info(schema, "base")) == (["base"], INFO)
    assert labels.label_columns(schema, "base") == ["codes__base"]
    flat = np.array([2, 0, 4, 4, -1, -1], np.int16)
    latent, codes = labels.unflatten(INFO, labels.label_codebook(schema, "base"), flat)
    assert codes.tolist() == [[2, 0], [4, 4], [-1, -1]]
    assert latent.dtype == np.float32
    assert latent[:2].tobytes() == codebook[codes[:2]].tobytes()
    assert not latent[2].any()


def test_labels_without_a_codebook_keep_their_vectors():
    schema = labels.label_fields(INFO, "wrist")
    assert labels.label_columns(schema, "base") == ["codes__base", "latent__base"]
    assert labels.label_codebook(schema, "base") is None


@pytest.mark.parametrize("code", [5, -2, 300])
def test_a_code_that_is_no_row_is_damage(code):
    codebook = np.zeros((5, 3), np.float32)
    with pytest.raises(DataEngineError, match=rf"labels 'base' hold code {code}, expected -1 to 4"):
        labels.unflatten(INFO, codebook, np.array([0, code], np.int16))


@pytest.mark.parametrize("rows", [b"AAAA", b"no base64!"])
def test_a_damaged_codebook_is_named(rows):
    field = labels.label_fields(INFO, "primary", np.zeros((5, 3), np.float32)).field(0)
    schema = pa.schema([field.with_metadata({**field.metadata, b"villa:codebook": rows})])
    with pytest.raises(DataEngineError, match="column codes__base: its codebook is damaged"):
        labels.label_codebook(schema, "base")
