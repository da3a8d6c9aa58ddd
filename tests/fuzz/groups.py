"""What is damaged: trees that other programs wrote, and how a command reads each of them."""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / name) for name in ("sources", "formats")]  # the writers import each other by name


@dataclass(frozen=True, kw_only=True)
class Group:
    """One kind of input."""

    build: Callable[[Path], Any]
    """Write a sound tree."""
    read: Callable[[Path], Any]
    """Read all of it as a command would, and give what must be equal where nothing is allowed to change silently."""
    prey: tuple[str, ...] = ("*",)
    """Which files are damaged: patterns of their names."""
    equal: bool = False
    """Damage must be noticed: what is read equals what is read of the sound tree, or is an error."""
    records: bool = False
    """Without mended sums every record that is read must be one of the sound tree's."""


UNEXPECTED: list[str] = []
"""Errors that no reader expected of the input that is being read, each a reject by now: right, and worth a look."""


def ingested(source_name: str, root: Path, **settings: Any) -> list[str]:
    """Read a dataset as a worker does, up to the rows that would be written; digests of its episodes."""
    from dataengine import catalog, errors
    from dataengine.reading import explain, is_certain
    from dataengine.store import Staging, staging
    from dataengine.store.new_rows import NewRows
    from dataengine.store.tables import EPISODES

    source = catalog.source(source_name)(str(root), **settings)
    bodies = (source.embodiment, *getattr(source, "other_embodiments", ()))
    ids = {"dataset_ids": {source.name: 1}, "embodiment_ids": dict.fromkeys(bodies, 1)}
    found: list[str] = []
    for part in source.parts():
        passed = staging._Passed()
        about = Staging(corpus="none", run_id="fuzz", **ids)
        try:
            rows = staging._batches(part, source.read(part), about, NewRows(EPISODES), passed, 1)
            found.extend(digest([row.column(n).to_pylist() for n in ("state", "action", "num_steps")]) for row in rows)
        except errors.DataEngineError:  # costs the part
            continue
        except Exception as error:
            if not is_certain(error):
                raise
            UNEXPECTED.append(explain(error))
        for reject in passed.rejects:
            kind = getattr(errors, reject.error, None)
            if kind is None or issubclass(kind, errors.UnexpectedError):
                UNEXPECTED.append(reject.reason)
    return found


@contextmanager
def allowed() -> Iterator[None]:
    """Pass over errors that a caller turns into a reject or into one line."""
    try:
        yield
    except Exception as error:
        if not is_named(error):
            raise


def is_named(error: BaseException) -> bool:
    """Tell an error that the command line prints as bad input."""
    from cli.contract import _explain

    return isinstance(error, Exception) and _explain("fuzz", error)[1] == 2 and len(str(error)) < 5_000


def digest(value: Any) -> str:
    """Tell values apart."""
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _files(place: Path) -> Iterator[Path]:
    return (path for path in sorted(place.rglob("*")) if path.is_file())


def build_rlds(root: Path) -> None:
    import all_kinds
    from rlds_writer import write

    rng = np.random.default_rng(0)
    records = [all_kinds.episode(rng, n, i) for i, n in enumerate((3, 2))]
    write(root, "kinds", all_kinds.all_kinds(), {"train": records})


def read_rlds(root: Path) -> list[str]:
    from dataengine.errors import RecordError
    from dataengine.formats import rlds

    place = next(path.parent for path in sorted(root.rglob("features.json")))
    found = []
    schema = rlds.schema(place)
    for shard in rlds.shards(place):
        for _, record in rlds.read_shard(shard.uri, schema):
            if not isinstance(record, RecordError):
                found.append(digest(_plain(record)))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes() if value.dtype != object else repr(value.tolist()))
    return [_plain(child) for child in value] if isinstance(value, list) else value


MAPPING = """\
name: pantry
embodiment: pantry_arm
control_hz: 12.5
cameras:
  primary: observation/front
  wrist: {key: observation/hand, bgr: true}
instruction: language
state_encoding: eef_pose
state:
  - {key: observation/proprio, columns: 0:3, convert: millimetres}
  - {key: observation/proprio, columns: 3:7, convert: quaternion_xyzw}
  - {key: observation/jaw, scale: 0.0125, convert: gripper_01_closes}
action_encoding: eef_delta
action:
  - {key: move}
  - {key: turn, columns: [2, 1, 0], convert: degrees}
  - {key: jaw}
raw_state: [observation/proprio, observation/jaw]
first_step: 1
"""


def build_openx(root: Path) -> None:
    from openx_writer import write_openx

    def values(k: int) -> dict[str, Any]:
        rng = np.random.default_rng(k)
        turns = rng.normal(size=(5, 4))
        pictures = rng.integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
        return {
            "observation": {
                "front": pictures,
                "hand": pictures[:, ::-1].copy(),
                "proprio": np.column_stack([rng.normal(size=(5, 3)) * 1000, turns]).astype(np.float32),
                "jaw": rng.uniform(0, 80, (5, 1)).astype(np.float32),
            },
            "move": rng.normal(size=(5, 3)).astype(np.float32),
            "turn": rng.uniform(-40, 40, (5, 3)).astype(np.float32),
            "jaw": np.array([0, 1, 0, 0, 1], np.float32),
            "language": [f"step {i}" for i in range(5)],
        }

    write_openx(root, "pantry", [values(k) for k in range(3)])
    (root / "mapping.yaml").write_text(MAPPING)


def read_openx(root: Path) -> list[str]:
    place = next(path.parent for path in sorted(root.rglob("features.json")))
    return ingested("openx/auto", place, mapping=str(root / "mapping.yaml"), frame_size=32)


def build_lerobot(version: str) -> Callable[[Path], Any]:
    def build(root: Path) -> None:
        import lerobot_writer

        (lerobot_writer.write_v3 if version == "v3.0" else lerobot_writer.write_v2)(root / "cubes")

    return build


def build_lerobot_images(root: Path) -> None:
    """Pictures in the rows, and texts by step."""
    import lerobot_writer as lr
    import pyarrow as pa

    for i, length in enumerate(lr.LENGTHS):
        pictures = [{"bytes": lr.png(lr.level(i, k), lr.SIDES[lr.TOP]), "path": None} for k in range(length)]
        rows = lr.rows_of(i, 0) | {lr.TOP: pa.array(pictures), "language": pa.array([f"do {i}"] * length)}
        lr.write_rows(root / f"cubes/data/chunk-000/episode_{i:06d}.parquet", rows)
    features = {**lr.FEATURES, lr.TOP: lr.camera(lr.TOP, "image"), "language": {"dtype": "string", "shape": [1]}}
    lr.write_json(root / "cubes/meta/info.json", lr.info("v2.1", features))
    entries = [{"episode_index": i, "tasks": [lr.TASKS[i]], "length": n} for i, n in enumerate(lr.LENGTHS)]
    lr.write_lines(root / "cubes/meta/episodes.jsonl", entries)
    lr.write_lines(root / "cubes/meta/tasks.jsonl", [{"task_index": i, "task": t} for i, t in enumerate(set(lr.TASKS))])


def build_agibot(root: Path) -> None:
    import agibot_tree

    agibot_tree.write_tree(root, "327", ["648642", "648700"])


def build_agibot_tars(root: Path) -> None:
    import agibot_tree

    with tempfile.TemporaryDirectory() as aside:
        agibot_tree.write_tree(Path(aside), "327", ["648642", "648700", "650001"])
        agibot_tree.pack(Path(aside), root, {"327": [(648642, 648700), (650001, 650001)]}, [(648642, 651000)])


def build_rh20t(root: Path) -> None:
    import rh20t_tree

    rh20t_tree.write_scene(root, serials=(rh20t_tree.FRONT, rh20t_tree.WRIST))
    rh20t_tree.write_texts(root)


def build_something(root: Path) -> None:
    from tests.sources import test_something_something as ssv2

    (root / ssv2.VIDEOS).mkdir(parents=True)
    for name in ("7", "42"):
        ssv2.write_clip(root / ssv2.VIDEOS / f"{name}.webm", 24)
    ssv2.write_json(root, "train", [ssv2.entry("42"), ssv2.entry("7", "holding a cup ")])
    ssv2.write_json(root, "validation", [])


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

    for file in _files(root):
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

    for file in _files(root):
        with allowed():
            hdf5.read(file, ["a/b"], ["index", "words"])


def build_npy(root: Path) -> None:
    from tests.formats.test_npy import POSES, npy_of

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

    for file in _files(root):
        with allowed():
            npy.read(file)


def build_tar(root: Path) -> None:
    import tarfile

    from tests.formats.test_tar import FORMATS, LONG, write

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

    for file in _files(root):
        with allowed():
            tar.index(file, (".h5",))
            tar._index.cache_clear()
            tar.index(file, (".h5",))  # as remembered


def build_videos(root: Path) -> None:
    from dataengine.formats import video

    root.mkdir(parents=True)
    ramp = [np.full((48, 64, 3), 9 * i, np.uint8) for i in range(20)]
    for name, codec in {"a.mp4": "h264", "b.mp4": "av1", "c.webm": "vp9"}.items():
        video.encode(root / name, iter(ramp), 20, codec)


def read_videos(root: Path) -> None:
    from dataengine.formats import video

    for file in _files(root):
        for use in (
            video.probe,
            lambda path: video.decode(path, 32, 10),
            lambda path: video.decode(path, 256),
            lambda path: [None for _ in video.pictures(path, 5)],
        ):
            with allowed():
                use(file)


def build_shards(root: Path) -> None:
    from tests.test_shards import made_reader, write

    write(root, made_reader())


def read_shards(root: Path) -> str:
    from dataengine.shards import ShardReader

    stored = ShardReader(root)
    found: list[Any] = [vars(stored.identity), stored.statistics(), stored.manifest.get("num_steps")]
    found += [stored.latent_info(lam) for lam in stored.latents]
    for info in stored.episodes:
        numbers = (stored.state(info.row), stored.action(info.row), *stored.latent(info.row, "lam"))
        found += [info, *(None if one is None else hashlib.sha256(one.tobytes()).hexdigest() for one in numbers)]
        for slot in info.cameras:
            jpegs = stored.jpegs(slot, [(info.row, frame) for frame in range(info.num_steps)])
            found.append([hashlib.sha256(jpeg).hexdigest() for jpeg in jpegs])
    return digest(found)


def _model(kind: str) -> Callable[[Path], Any]:
    def build(root: Path) -> None:
        from models.act import Act, ActConfig
        from models.lam import Lam, LamConfig
        from models.weights import save_model, save_released_lam
        from models.world import World, WorldConfig
        from tests.training.readers import MadeReader, make_episode, statistics

        root.mkdir(parents=True)
        small = {"encoder_width": 32, "decoder_width": 32, "encoder_depth": 1, "decoder_depth": 1}
        if kind == "lam":
            save_model(Lam(LamConfig.preset("tiny", **small)), root)
        elif kind == "released":
            theirs = {"pooling": "released", "normalize_latents": False, "conditioning": "token"}
            save_released_lam(Lam(LamConfig.preset("tiny", **small, **theirs, residual_output=False)), root)
        elif kind == "world":
            save_model(World(WorldConfig.preset("tiny", width=32, depth=1)), root)
        else:
            from pipelines.training.tokenizer import Tokenizer

            stated = statistics(MadeReader([make_episode(0)]))
            body = {"embodiment_id": 1, "dataset_id": 1, "control_hz": 10.0, "steps_per_latent": 3}
            about = {"bodies": {"arm7_jaw": body}, "statistics": {k: v.to_json() for k, v in stated.items()}}
            save_model(
                Act(ActConfig.preset("tiny", state_dims=(7, 7), action_dims=(7, 7), num_datasets=2)), root, about
            )
            (root / "tokenizer.json").write_text(Tokenizer.train(["close the jar", "open it"], 300).text)

    return build


def _load(kind: str) -> Callable[[Path], Any]:
    def read(root: Path) -> None:
        import torch

        from models import weights
        from models.fingerprint import fingerprint
        from pipelines.policy import ActPolicy

        torch.set_num_threads(1)
        if kind == "act":
            policy = ActPolicy.load(root)
            picture = np.zeros((48, 64, 3), np.uint8)
            seen = SimpleNamespace(embodiment="arm7_jaw", image=picture, wrist=None, state=np.zeros(7, np.float32))
            policy.act(seen, "close the jar")
        elif kind == "world":
            weights.load_world(root)
        else:
            weights.load_lam(root)
        fingerprint(root)

    return read


def build_checkpoints(root: Path) -> None:
    from tests.training.toy import make_run

    make_run(root / "run", steps=8, keep=2).train()


def read_checkpoints(root: Path) -> None:
    import torch

    from tests.training.toy import make_run

    torch.set_num_threads(1)
    make_run(root / "run", steps=8, keep=2).train()


PLAN = """\
data: .
frame_size: 64
frame_hz: 5.0
datasets:
  - {source: agibot, root: a, optional: true}
  - {source: openx/fetch, root: "b*", frame_size: 32, options: {keep_failures: true}}
"""

CURATE = """\
drop_still: {min_reach_m: 0.01}
drop_jumps: {}
drop_outliers:
trim_idle:
"""

MIXTURE = """\
weights: {a: 1.0, b: frames}
fractions: {a: 0.5}
optional: [b]
temperature: 2.0
human_share: 0.5
"""

SETTINGS = """\
out: run
steps: 100
lr: 0.001
betas: [0.9, 0.99]
augment: {crop_area: [0.8, 1.0], hue: 0.1}
mixture: {weights: {a: 1.0}}
model: {encoder_depth: 2, num_codes: 16}
preset: tiny
"""


def build_recipes(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "plan.yaml").write_text(PLAN)
    (root / "curate.yaml").write_text(CURATE)
    (root / "mixture.yaml").write_text(MIXTURE)
    (root / "settings.yaml").write_text(SETTINGS)


def read_recipes(root: Path) -> None:
    from cli.settings import Settings
    from dataengine.mixture import Mixture
    from pipelines import recipe_files
    from pipelines.curate_recipe import load_recipe
    from pipelines.ingest_plan import load_plan
    from pipelines.train_lam import TrainLamConfig

    def mixed() -> None:
        mixture = Mixture.model_validate(recipe_files.load("mixture", str(root / "mixture.yaml")))
        mixture.shares({"a": 100, "b": 200}, frozenset("b"), {"a": "x", "b": "y"})

    uses: tuple[Callable[[], Any], ...] = (
        lambda: load_plan(str(root / "plan.yaml")),
        lambda: load_recipe(str(root / "curate.yaml")),
        mixed,
        lambda: Settings(root / "settings.yaml").fill(TrainLamConfig, data="none"),
    )
    for use in uses:
        with allowed():
            use()


def build_corpus(root: Path) -> None:
    """Receipts that a killed run left behind, and what a corpus remembers."""
    from dataengine.episode import Part
    from dataengine.store import Corpus, Staging, stage_part
    from dataengine.store.registry import register
    from tests.made_corpus import human_clip, make_corpus

    corpus = make_corpus(root / "corpus", {"first": [human_clip("a", num_steps=3)]})
    assert Corpus.exists(corpus.uri)
    ids = {
        "dataset_ids": register(corpus.uri, "datasets", [{"name": "made"}]),
        "embodiment_ids": register(corpus.uri, "embodiments", [{"name": "human_hand"}]),
    }
    part = Part(dataset="made", name="second", uri="memory", num_bytes=1, fingerprint="second", options={})
    stage_part(part, [human_clip("b", num_steps=3)], Staging(corpus=corpus.uri, run_id="test", **ids))


def read_corpus(root: Path) -> None:
    from dataengine.episode import stable_id
    from dataengine.store import Committer

    committer = Committer(str(root / "corpus"), "fuzz")
    committer.ledger()
    for receipt in committer.receipts.staged([stable_id("made", "second")]):
        committer.receipts.missing_file(receipt)
        committer.commit([receipt])


GROUPS: dict[str, Group] = {
    "rlds": Group(
        build=build_rlds, read=read_rlds, prey=("*.tfrecord*", "features.json", "dataset_info.json"), records=True
    ),
    "openx": Group(build=build_openx, read=read_openx, prey=("*.tfrecord*", "*.json", "mapping.yaml"), records=True),
    "lerobot v3.0": Group(build=build_lerobot("v3.0"), read=lambda root: ingested("lerobot", root / "cubes")),
    "lerobot v2.1": Group(build=build_lerobot("v2.1"), read=lambda root: ingested("lerobot", root / "cubes")),
    "lerobot images": Group(build=build_lerobot_images, read=lambda root: ingested("lerobot", root / "cubes")),
    "agibot": Group(build=build_agibot, read=lambda root: ingested("agibot", root), prey=("*.h5", "*.mp4", "*.json")),
    "agibot tars": Group(build=build_agibot_tars, read=lambda root: ingested("agibot", root), prey=("*.tar", "*.json")),
    "rh20t": Group(build=build_rh20t, read=lambda root: ingested("rh20t", root)),
    "something": Group(build=build_something, read=lambda root: ingested("something_something", root)),
    "pictures": Group(build=build_pictures, read=read_pictures),
    "hdf5": Group(build=build_hdf5, read=read_hdf5),
    "npy": Group(build=build_npy, read=read_npy),
    "tar": Group(build=build_tar, read=read_tar),
    "video": Group(build=build_videos, read=read_videos),
    "shards": Group(build=build_shards, read=read_shards, equal=True),
    "lam": Group(build=_model("lam"), read=_load("lam")),
    "released": Group(build=_model("released"), read=_load("released")),
    "world": Group(build=_model("world"), read=_load("world")),
    "act": Group(build=_model("act"), read=_load("act")),
    "checkpoints": Group(build=build_checkpoints, read=read_checkpoints, prey=("*.safetensors", "*.json")),
    "recipes": Group(build=build_recipes, read=read_recipes),
    "corpus": Group(build=build_corpus, read=read_corpus, prey=("*.json", "ledger.arrow")),
}
