"""Clips of human video: the annotations of each dataset, and videos that many labels hang on."""

from pathlib import Path

from tests.fuzz.group import Group, ingested

PREY = {
    "ego4d": ("*.json", "*.mp4"),
    "egohod": ("*.csv", "*.json"),
    "egopat3d": ("*.txt", "*.mp4"),
    "egtea": ("*.csv", "*.mp4"),
    "epic_kitchens": ("*.csv", "*.MP4"),
    "ho_cap": ("*.yaml", "*.jpg"),
    "hoi4d": ("*.json", "*.csv", "*.txt"),
    "holoassist": ("*.json", "*.txt"),
    "rh20t_human": ("*.json", "*.npy", "*.mp4"),
    "egodex": ("*.hdf5", "*.mp4"),
    "egocentric_10k": ("*.tar", "*.json"),
    "video/folder": ("*.csv", "*.webm"),
}


def _group(source: str, prey: tuple[str, ...]) -> Group:
    def build(root: Path) -> None:
        from tests.support import human_trees

        if source == "egohod":
            human_trees.write_ego4d(root)
        human_trees.WRITERS[source][1](root)

    return Group(build=build, read=lambda root: ingested(source, root), prey=prey)


GROUPS = {f"clips {source.replace('/', ' ')}": _group(source, prey) for source, prey in PREY.items()}
