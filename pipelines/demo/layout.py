"""Paths and sizes that the demo's stages share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.demo.children import VillaCommand

GATE_TASKS = ("button-press-topdown", "window-close", "window-open")
"""Tasks that need sight and that a small policy solves; success on them is the demo's target."""
HARD_TASKS = ("faucet-close", "push")
"""Reported as they are."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything."""

    name: Literal["demo", "quick"]
    lam: tuple[str, ...]
    """Settings of `villa train lam`."""
    act: tuple[str, ...]
    """Settings of `villa train act`."""
    probe: tuple[str, ...]
    tasks: tuple[str, ...]
    """What is played; each was recorded."""
    episodes: int
    """Unseen starts of every task."""
    plans: int


DEMO = Scale(name="demo", lam=(), act=(), probe=(), tasks=(*GATE_TASKS, *HARD_TASKS), episodes=20, plans=5)
QUICK = Scale(
    name="quick",
    lam=("steps=12", "batch_size=4", "val_windows=16"),
    act=("steps=12", "batch_size=8"),
    probe=("epochs=2", "seeds=1"),
    tasks=GATE_TASKS,
    episodes=1,
    plans=1,
)


@dataclass(frozen=True, kw_only=True)
class DemoRun:
    """One run of the demo."""

    out: Path
    scale: Scale
    engine: Literal["local", "ray"]
    robots: tuple[str, ...] = field(default=("openx/metaworld", "openx/fetch", "agibot"))

    @property
    def corpus(self) -> Path:
        """Where all sources are ingested to."""
        return self.out / "corpus"

    @property
    def shards(self) -> Path:
        """Where the labelled corpus is written to for the policies."""
        return self.out / "shards"

    def lam(self, proprio: bool) -> Path:
        """Folder of a latent action model."""
        return self.out / "lam" / ("with_proprio" if proprio else "without_proprio")

    def act(self, use_latent: bool) -> Path:
        """Folder of a policy."""
        return self.out / "act" / ("with_latent" if use_latent else "without_latent")

    def relative(self, path: str | Path) -> str:
        """Name a file as the summary does."""
        return str(Path(path).relative_to(self.out)) if path else ""

    def command(self, name: str, *argv: object, settings: tuple[str, ...] = (), threads: int = 1) -> VillaCommand:
        """Make a `villa` command that logs to `<out>/logs/<name>.log`."""
        given = [word for setting in settings for word in ("--set", setting)]
        log = self.out / "logs" / f"{name}.log"
        return VillaCommand(arguments=[*map(str, argv), *given], log=log, threads=threads)
