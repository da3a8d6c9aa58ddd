from pathlib import Path

from tests.support.openx_case import case_of, read_one


def test_pictures_become_squares_and_say_their_native_size(tmp_path: Path) -> None:
    frames = read_one("fractal20220817_data", tmp_path, case_of("fractal20220817_data")).cameras["primary"]
    assert (frames.height, frames.width, frames.native_height, frames.native_width) == (256, 256, 256, 320)
