"""A command line for each command that writes a folder, and what it left there."""

from pathlib import Path

from pipelines.output.folder import LOCK

TRAIN = ("--preset", "tiny", "--steps", 1, "--set", "batch_size=2", "--set", "val_windows=4", "--device", "cpu")


def tree(folder):
    """Every file below a folder and what it holds; a lock holds nothing that matters."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != LOCK}


def commands(made, out):
    """A command line for each command that writes a folder."""
    corpus, lam = made / "corpus", made / "lam"
    probe = ("--lam", lam, "--set", "epochs=1", "--set", "seeds=1")
    return {
        "curate": ("curate", corpus, "--report", out),
        "probe": ("probe", corpus, *probe, "--out", out),
        "lam report": ("lam", "report", corpus, "--lam", lam, "--out", out),
        "train lam": ("train", "lam", corpus, "--out", out, *TRAIN),
        "train act": ("train", "act", corpus, "--out", out, *TRAIN, "--set", "use_latent=false"),
        "train world": ("train", "world", corpus, "--out", out, *TRAIN),
        "shard": ("shard", corpus, "--out", out),
        "export lerobot": ("export", "lerobot", corpus, "--out", out),
        "export lam": ("export", "lam", lam, "--out", out),
        "eval": ("eval", "metaworld", "random", "--out", out),
        "demo": ("demo", "--out", out),
    }


NAMES = tuple(commands(Path(), Path()))
