"""SIMPLER's own environment (`make sim-simpler`): where it is, and what it still lacks, said as one block."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from pipelines.evaluation.client_process import Client, interpreter
from pipelines.evaluation.clients.broken import install_advice

PYTHON = "VILLA_SIMPLER_PYTHON"
DEFAULT = Path(".venv-simpler/bin/python")
MESA = Path("mesa")
"""Folder beside `bin` of a newer Mesa than the system's, where `make sim-simpler` had to fetch one."""
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
LEAST_MESA = "24.3"
RENDER_S = 300
SHOWN_FILES = 8
IDS = {"robots": "widowx250s", "tasks": "bridge_v2_real2sim"}
"""What ManiSkill calls what lies in these folders."""
INSTALL = "`make sim-simpler` installs it"


def client() -> Client:
    """Say how processes of the simulator are started; raise NotReadyError where its environment is not there."""
    chosen = Path(_python())
    if not chosen.exists():
        raise NotReadyError([f"environment  {chosen} is not there: {INSTALL}, or {PYTHON} names its Python"])
    python = interpreter(chosen)
    return Client("simpler", python, _drawing(python.parents[1] / MESA))


def _drawing(mesa: Path) -> dict[str, str]:
    """Lead the Vulkan loader to the Mesa of the environment, where it has one and nobody chose another."""
    driver = mesa / "lvp.json"
    if not driver.is_file() or "VK_ICD_FILENAMES" in os.environ or "VK_DRIVER_FILES" in os.environ:
        return {}
    libraries = [str(mesa / LIBRARIES), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {"VK_ICD_FILENAMES": str(driver), "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


class NotReadyError(DataEngineError):
    """The simulator cannot be played here; `details` has a line for each thing that is missing."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("SIMPLER cannot be played here:")
        self.details = tuple(faults)


@cache
def require(task: str) -> dict[str, Any]:
    """Give what there is; raise NotReadyError, with all that is missing, where the task cannot be played."""
    its = client()
    try:
        facts = its.ask("preflight", tasks=[task])
    except DataEngineError as error:
        raise NotReadyError([f"environment  {error}"]) from None
    prefix = its.python.parents[1]
    advice = install_advice(prefix, its.name)
    faults = [f"package      {name} is not in {prefix}: {advice}" for name in _absent(facts)]
    faults += _assets(facts)
    if faults and facts["versions"]["sapien"]:
        faults += rendering(its)
    if faults:
        raise NotReadyError(faults)
    return facts


def start_failed(why: str) -> NotReadyError:
    """Explain why a scene did not begin: the renderer is asked alone."""
    return NotReadyError(rendering(client()) or [f"simulator    {why}"])


def rendering(its: Client) -> list[str]:
    """Say what is wrong with drawing, which is tried in a process of its own; nothing where it works."""
    try:
        answers, error, code = its.run("render", RENDER_S)
    except subprocess.TimeoutExpired:
        return [f"vulkan       the renderer said nothing for {RENDER_S} s"]
    if answers and answers[-1]["event"] == "ended":
        return []
    about = answers[0] if answers else {"drivers": [], "mesa": ""}
    lost = answers[-1].get("why") if answers else ""
    died = f"the renderer died with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
    why = lost or (f"{died}: {error[:200]}" if error else died)
    drivers = ", ".join(about["drivers"]) or "no Vulkan driver"
    mesa = f", Mesa {about['mesa']}" if about["mesa"] else ""
    return [
        f"vulkan       {why}; found {drivers}{mesa}; drawing on a CPU needs lavapipe of Mesa {LEAST_MESA} or newer: "
        f"`make sim-simpler` fetches one beside the environment, or install mesa-vulkan-drivers of a newer system"
    ]


def _absent(facts: dict[str, Any]) -> Sequence[str]:
    return [name for name, version in facts["versions"].items() if not version]


def _assets(facts: dict[str, Any]) -> list[str]:
    """Name files that are missing, whose they are, and how they come."""
    missing = facts["missing"]
    if not missing:
        return []
    more = len(missing) - SHOWN_FILES
    wanted = [IDS[one] for one in sorted({path.partition("/")[0] for path in missing})]
    lines = [
        f"assets       {len(missing)} files are missing below {facts['root']} (MS_ASSET_DIR moves it):",
        *(f"  {path}" for path in missing[:SHOWN_FILES]),
        *([f"  and {more} more"] if more > 0 else []),
        "with network, ManiSkill fetches them:",
        *(f"  {_python()} -m mani_skill.utils.download_asset {one} -y" for one in wanted),
        "without, unpack them there: haosulab/ManiSkill_bridge_v2_real2sim (Hugging Face, 'tasks') and "
        "haosulab/ManiSkill-WidowX250S (GitHub, 'robots')",
    ]
    return [lines[0], *(f"             {line}" for line in lines[1:])]


def _python() -> str:
    return os.environ.get(PYTHON, "") or str(DEFAULT)
