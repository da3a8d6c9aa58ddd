"""Single files of formats that readers share."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.group import Group, allowed, files


def build_pictures(root: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    root.mkdir(parents=True)
    for name, settings in {
        "a.jpg": {},
        "b.jpg": {"progressive": True},
        "c.png": {},
        "d.gif": {},
        "e.bmp": {},
        "f.webp": {},
        "g.tiff": {},
    }.items():
        image.save(root / name, **settings)
    Image.fromarray(rng.integers(0, 65536, (48, 64), dtype=np.uint16)).save(root / "h.png")


def read_pictures(root: Path) -> None:
    from dataengine.formats import jpeg

    for file in files(root):
        data = file.read_bytes()
        for side in (32, 256):
            with allowed():
                jpeg.fit([data, data], side)
        with suppress(ValueError), allowed():  # as its callers expect
            jpeg.decode(data)
        jpeg.is_black(data)


def build_hdf5(root: Path) -> None:
    import h5py

    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, more in {"plain": {}, "packed": {"compression": "gzip", "chunks": True}}.items():
        with h5py.File(root / f"{name}.h5", "w") as file:
            file.create_dataset("a/b", data=rng.normal(size=(50, 7)), **more)
            file.create_dataset("index", data=np.arange(50), **more)
            file.create_dataset("words", data=["a", "bc"])


def read_hdf5(root: Path) -> None:
    from dataengine.formats import hdf5

    for file in files(root):
        with allowed():
            hdf5.read(file, ["a/b"], ["index", "words"])


def build_npy(root: Path) -> None:
    from tests.support.npy_files import POSES, npy_of

    root.mkdir(parents=True)
    for i, (name, value) in enumerate(POSES.items()):
        (root / f"{name}.npy").write_bytes(npy_of(value, protocol=2 + i % 4))
    np.save(root / "numbers.npy", np.random.default_rng(0).normal(size=(9, 7)))
    for name, value in {"deep": _deep(900), "shared": _laughs(20)}.items():
        (root / f"{name}.npy").write_bytes(npy_of(value))


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = (value,)
    return {"x": value}


def _laughs(levels: int) -> Any:
    value: Any = ("ha", "ha")
    for _ in range(levels):
        value = (value, value)
    return [value]


def read_npy(root: Path) -> None:
    from dataengine.formats import npy

    for file in files(root):
        with allowed():
            npy.read(file)


def build_tar(root: Path) -> None:
    import tarfile

    from tests.support.tar_files import FORMATS, LONG, write

    root.mkdir(parents=True)
    contents = {"./1/a.h5": b"x" * 700, LONG: b"y" * 512, "empty.h5": b"", "1/a.png": b"z" * 3000, "2/ä.h5": b"w"}
    for name, kind in FORMATS.items():
        write(root / f"{name}.tar", contents, kind)
    with tarfile.open(root / "pax2.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("b.h5")
        info.pax_headers = {"comment": "3 \n" * 100, "path": "c.h5"}
        archive.addfile(info)


def read_tar(root: Path) -> None:
    from dataengine.formats import tar

    for file in files(root):
        with allowed():
            tar.index(file, (".h5",))
            tar._index.cache_clear()
            tar.index(file, (".h5",))  # as remembered


def build_videos(root: Path) -> None:
    from dataengine.formats.video import video

    root.mkdir(parents=True)
    ramp = [np.full((48, 64, 3), 9 * i, np.uint8) for i in range(20)]
    for name, codec in {"a.mp4": "h264", "b.mp4": "av1", "c.webm": "vp9"}.items():
        video.encode(root / name, iter(ramp), 20, codec)


def read_videos(root: Path) -> None:
    from dataengine.formats.video import header, video
    from dataengine.formats.video.cut import cut

    for file in files(root):
        for use in (
            header.probe,
            lambda path: video.decode(path, 32, 10),
            lambda path: video.decode(path, 256),
            lambda path: [None for _ in video.pictures(path, 5)],
            lambda path: list(cut(path, [(0, 0.3), (0.2, 0.8), (0.9, 5)], 32, 10)),
        ):
            with allowed():
                use(file)


def build_parquet(root: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "index": np.arange(40),
            "state": pa.array(list(rng.normal(size=(40, 3))), pa.list_(pa.float32(), 3)),
            "ragged": [[0.5] * (i % 4) or None for i in range(40)],
            "picture": [{"bytes": rng.bytes(30), "path": None} for _ in range(40)],
            "text": [f"do {i % 3}" for i in range(40)],
        }
    )
    for name, how in {
        "plain": {"compression": "none"},
        "groups": {"row_group_size": 7, "use_dictionary": False},
        "pages": {"data_page_version": "2.0", "write_page_index": True, "compression": "zstd"},
    }.items():
        pq.write_table(table, root / f"{name}.parquet", **how)


def read_parquet(root: Path) -> None:
    from dataengine.formats.parquet import ParquetFile

    for path in files(root):
        with allowed(), ParquetFile(path) as file:
            with allowed():
                file.ranges("index")
            for name in file.names:
                with allowed():
                    file.read([name])
            with allowed():
                file.read(file.names, 0)


GROUPS = {
    "pictures": Group(build=build_pictures, read=read_pictures),
    "hdf5": Group(build=build_hdf5, read=read_hdf5),
    "npy": Group(build=build_npy, read=read_npy),
    "tar": Group(build=build_tar, read=read_tar),
    "parquet": Group(build=build_parquet, read=read_parquet),
    "video": Group(build=build_videos, read=read_videos),
}
