"""What is installed, and what is missing for which feature, with the command that mends it."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from dataengine.config import Config
from dataengine.machine import num_cores
from dataengine.report import Report
from pipelines.output.text_table import human_bytes, text_table

LIBRARIES = (
    ("pylance", "the corpus", True, "make setup"),
    ("pyarrow", "the corpus", True, "make setup"),
    ("simplejpeg", "frames", True, "make setup"),
    ("av", "video sources", True, "make setup"),
    ("h5py", "HDF5 sources", True, "make setup"),
    ("torch", "training, labels, evaluation", True, "make setup"),
    ("ray", "--engine ray", True, "make setup"),
    ("mujoco", "villa eval, villa demo", False, "pip install -c constraints.txt -e '.[sim]'"),
    ("metaworld", "villa eval metaworld", False, "pip install -c constraints.txt -e '.[sim]'"),
    ("gymnasium-robotics", "villa eval fetch", False, "pip install -c constraints.txt -e '.[sim]'"),
    ("robosuite", "the demo's two-arm recordings", False, "pip install -c constraints.txt --no-deps robosuite"),
    ("tensorflow-datasets", "the demo's RLDS recordings", False, "pip install -c constraints.txt -e '.[demo]'"),
    ("tensorflow-cpu tensorflow", "the demo's RLDS recordings", False, "pip install -c constraints.txt -e '.[demo]'"),
)
"""Distribution (or either of two), what it is for, whether every command needs it, what installs it."""

DECODERS = ("h264", "hevc", "av1", "vp9")
ENCODERS = (("libsvtav1", "libaom-av1"), ("libvpx-vp9",))
"""One of each group writes the demo's video."""

RENDER = "import mujoco; c = mujoco.GLContext(64, 64); c.make_current(); c.free()"
FREE_BYTES = 5_000_000_000
"""The demo and its checkpoints stay well below."""
HAND_FOOTAGE = Path("/usr/share/doc/opencv-doc/opencv4/html/cup.mp4.gz")


class DoctorConfig(Config):
    """Where to look."""

    folder: Path = Path()
    """The disk that is checked for room."""


class Check(Report):
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    feature: str
    """What does not work without it."""
    required: bool = False
    """Every command of the main path needs it."""
    fix: str = ""
    """The command that mends it; empty when all is well."""


class DoctorReport(Report):
    """All checks; `ok` unless something that the main path needs is missing."""

    ok: bool
    checks: list[Check]

    def summary(self) -> str:
        """Print the checks, then what to do."""
        rows = [["ok" if c.ok else "MISSING" if c.required else "-", c.name, c.found, c.feature] for c in self.checks]
        fixes = [f"{c.feature}: {c.fix}" for c in self.checks if c.fix]
        return "\n".join([text_table(["", "what", "found", "for"], rows), *(["", "To mend:", *fixes] if fixes else [])])


def run(config: DoctorConfig) -> DoctorReport:
    """Look at everything; nothing is changed."""
    checks = [_python(), *_libraries(), *_codecs(), _rendering(), _gpu(), _disk(config.folder), _ray(), _hands()]
    return DoctorReport(ok=all(c.ok for c in checks if c.required), checks=checks)


def _check(name: str, feature: str, ok: bool, state: str, fix: str, required: bool = False) -> Check:
    """Keep the fix only where something is amiss."""
    return Check(name=name, ok=ok, found=state, feature=feature, required=required, fix="" if ok else fix)


def _python() -> Check:
    """Check the interpreter and say what machine this is."""
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    state = f"{platform.python_version()}, {num_cores()} cores, {platform.system()} {platform.machine()}"
    return _check("python", "everything", fits, state, "install Python 3.11 or 3.12", required=True)


def _libraries() -> Iterator[Check]:
    """Check versions without importing anything heavy."""
    for names, feature, required, fix in LIBRARIES:
        versions = [version for name in names.split() if (version := _version(name))]
        state = versions[0] if versions else "not installed"
        yield _check(names.split()[-1], feature, bool(versions), state, fix, required)


def _version(distribution: str) -> str | None:
    """Look up an installed version."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _codecs() -> Iterator[Check]:
    """Check that the FFmpeg inside PyAV reads what publishers ship and writes what the demo records."""
    try:
        import av
    except ImportError:
        return
    known = av.codecs_available
    absent = [name for name in DECODERS if not _has_codec(name, "r")]
    library = ".".join(str(number) for number in av.library_versions["libavcodec"])
    state = f"libavcodec {library}" + (f", cannot read {', '.join(absent)}" if absent else "")
    yield _check("video decoders", "video sources", not absent, state, "pip install --force-reinstall av", True)
    absent = [" or ".join(group) for group in ENCODERS if not any(n in known and _has_codec(n, "w") for n in group)]
    state = f"cannot write {', '.join(absent)}" if absent else "AV1 and VP9"
    yield _check("video encoders", "the demo's recordings", not absent, state, "pip install --force-reinstall av")


def _has_codec(name: str, mode: str) -> bool:
    """Ask FFmpeg whether it can read (`r`) or write (`w`) a codec."""
    import av

    try:
        av.codec.Codec(name, mode)
    except ValueError:
        return False
    return True


def _rendering() -> Check:
    """Open a GL context in a child process: a broken driver takes down its process, not ours."""
    backend = os.environ.get("MUJOCO_GL") or "egl"
    fix = "apt-get install -y --no-install-recommends libegl1 libgles2 libosmesa6"
    command = [sys.executable, "-c", RENDER]
    environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
    try:
        child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        ok, last_line = child.returncode == 0, child.stderr.strip().splitlines()[-1:]
    except subprocess.TimeoutExpired:
        ok, last_line = False, ["no answer in 60 s"]
    state = f"MUJOCO_GL={backend}" if ok else f"MUJOCO_GL={backend}: {(last_line or ['it crashed'])[0][:80]}"
    return _check("rendering", "villa eval, villa demo", ok, state, fix)


def _gpu() -> Check:
    """Look for a GPU that torch can use; none is fine for the tiny presets."""
    present = shutil.which("nvidia-smi") is not None
    try:
        import torch
    except ImportError:
        return _check("gpu", "presets small and paper", False, "torch is not installed", "make setup")
    if torch.cuda.is_available():
        return _check("gpu", "presets small and paper", True, torch.cuda.get_device_name(0), "")
    state = "there is one, but torch cannot use it" if present else "none; preset tiny trains on the CPU"
    fix = "pip install a build of torch that fits the driver" if present else ""
    return _check("gpu", "presets small and paper", False, state, fix)


def _disk(folder: Path) -> Check:
    """Check the room for a demo."""
    free = shutil.disk_usage(folder).free
    return _check(
        "disk", "villa demo", free >= FREE_BYTES, f"{human_bytes(free)} free in {folder.resolve()}", "free 5 GB"
    )


def _ray() -> Check:
    """Say which cluster `--engine ray` would join, and whether its object store has memory to live in."""
    address = os.environ.get("RAY_ADDRESS")
    if address:
        return _check("ray cluster", "--engine ray", True, f"RAY_ADDRESS={address}", "")
    shared = Path("/dev/shm")
    room = shutil.disk_usage(shared).free if shared.exists() else 0
    state = f"none named: an embedded one is started; {human_bytes(room)} of shared memory"
    return _check("ray cluster", "--engine ray", True, state, "")


def _hands() -> Check:
    """Look for the real hand footage that Debian ships."""
    state = "two clips of Debian's opencv-doc" if HAND_FOOTAGE.exists() else "not installed"
    return _check("hand footage", "real clips in the demo", HAND_FOOTAGE.exists(), state, "apt-get install opencv-doc")
