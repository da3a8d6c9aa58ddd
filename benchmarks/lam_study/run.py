"""Trains the arms of the latent action study, probes each model, and puts the results side by side.

    python benchmarks/lam_study/run.py --data runs/lam_study --out runs/lam_study/models

Arms and their settings are in arms.yaml. What is finished is kept: kill it and run it again, add arms, or name some
with --arms. `--tables` only reads what is there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from tables import write_tables

HERE = Path(__file__).parent
REPORT, PROBE = "report.json", "probe.json"


def finished(run: Path) -> bool:
    """Tell whether an arm is trained and probed."""
    report = run / REPORT
    return report.exists() and json.loads(report.read_text())["finished"] and (run / PROBE).exists()


def villa(log: Path, *arguments: str) -> str:
    """Run a command on one thread; return what it printed."""
    with log.open("a", encoding="utf-8") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
            cwd=HERE.parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    if done.returncode:
        raise RuntimeError(f"villa {arguments[0]} failed; see {log}")
    return done.stdout


def settings_of(study: dict[str, Any], arm: str, seed: int, models: Path) -> dict[str, Any]:
    """Settings of one training; `init_from: ARM` means the model of that arm and seed."""
    settings = {**study["common"], **study["arms"][arm], "seed": seed}
    settings.pop("corpus", None)
    if "init_from" in settings:
        settings["init_from"] = str(models / f"{settings['init_from']}-{seed}")
    return settings


def train_and_probe(study: dict[str, Any], data: Path, models: Path, arm: str, seed: int) -> None:
    corpus = data / study["arms"][arm].get("corpus", "corpus")
    run = models / f"{arm}-{seed}"
    if finished(run):
        return
    start = time.monotonic()
    run.mkdir(parents=True, exist_ok=True)
    settings = settings_of(study, arm, seed, models)
    (run / "settings.yaml").write_text(yaml.safe_dump(settings))
    log = run / "log.txt"
    villa(log, "train", "lam", str(corpus), "--out", str(run), "--config", str(run / "settings.yaml"))
    held_out = f"val_fraction={study['common']['val_fraction']}"
    probed = villa(log, "probe", str(corpus), "--lam", str(run), "--set", held_out, "--set", "threads=1", "--json")
    (run / PROBE).write_text(probed)
    print(f"{arm} seed {seed}: {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("runs/lam_study"), help="Folder that corpus.py made.")
    parser.add_argument("--out", type=Path, default=Path("runs/lam_study/models"))
    parser.add_argument("--arms", nargs="*", help="By default all of arms.yaml, in its order.")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="Train nothing.")
    options = parser.parse_args()
    study = yaml.safe_load((HERE / "arms.yaml").read_text())
    data, models = options.data.resolve(), options.out.resolve()
    work = [(arm, seed) for arm in options.arms or study["arms"] for seed in options.seeds]
    if not options.tables:
        with ThreadPoolExecutor(options.processes) as pool:  # threads only wait for commands
            for future in [pool.submit(train_and_probe, study, data, models, *one) for one in work]:
                future.result()
    write_tables(study, models, [one for one in work if finished(models / "-".join(map(str, one)))])


if __name__ == "__main__":
    main()
