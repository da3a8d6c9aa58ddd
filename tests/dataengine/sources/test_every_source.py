"""What `villa ingest` gives every source that ships."""

from inspect import signature

import pytest

from dataengine import catalog


@pytest.mark.parametrize("name", catalog.source_names())
def test_it_takes_what_shapes_frames(name: str) -> None:
    taken = signature(catalog.source(name)).parameters
    assert {"frame_size", "frame_hz", "fit"} <= taken.keys()
