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
    schema = pa.schema([pa.field("latent__mine", pa.list_(pa.float32()))])
    with pytest.raises(DataEngineError, match="latent__mine does not say villa:lam_fingerprint"):
        labels.label_info(schema, "mine")


@pytest.mark.parametrize(("wish", "name"), [("LAM Base-v2", "lam_base_v2"), ("base", "base"), (".x/", "x")])
def test_names_are_made_fit_for_columns(wish, name):
    assert labels.label_name(wish) == name


def test_a_name_without_letters_is_refused():
    with pytest.raises(DataEngineError, match="has no letter"):
        labels.label_name("//")


def test_flat_values_get_their_shape_back():
    latent, codes = labels.unflatten(INFO, np.arange(24, dtype=np.float32), np.arange(8, dtype=np.int16))
    assert latent.shape == (4, 2, 3)
    assert codes.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
