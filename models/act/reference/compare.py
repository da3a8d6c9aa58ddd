"""The largest absolute difference of every tensor that a reference holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from models.act.reference import pieces, samplers, trunk
from models.act.reference.folder import Reference, read
from models.act.reference.names import our_name
from models.act.reference.passes import RUNS, Pass

TOLERANCE: Final = 1e-4
NEEDED: Final = (
    *(f"{run}/{name}" for run in RUNS for name in ("latent_velocity", "robot_velocity", "loss_latent", "loss_robot")),
    *("sample_reference/latents", "sample_reference/robot"),
    *("sample_clean/latents", "sample_clean/robot_unclipped"),
    *("sample_own_step/latents", "sample_own_step/robot_unclipped"),
)
"""Without these a comparison would say little; the others may be missing."""


def errors(directory: str | Path) -> dict[str, float]:
    """Compare every output with ours; raise ValueError in one line for a folder that cannot be compared.

    Rows that nobody reads (padded text, wrist tokens without a view) are left out. A number that is not finite is
    infinitely wrong. Norms of gradients count relative to their size where they are longer than 1.
    """
    reference = read(directory)
    fast = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # its kernels round batch statistics by more than the tolerance
    try:
        return _errors(reference, Path(directory))
    finally:
        torch.backends.mkldnn.enabled = fast


def _errors(reference: Reference, directory: Path) -> dict[str, float]:
    path, theirs = directory / "outputs.safetensors", reference.outputs
    if missing := [name for name in NEEDED if name not in theirs]:
        raise ValueError(f"{path}: no tensor '{missing[0]}'; a reference holds all four runs and all three samplers")
    worst: dict[str, float] = {}
    for name, ours, rows in _outputs(reference):
        if name in theirs:
            if ours.shape != theirs[name].shape:
                raise ValueError(
                    f"{path}: {name}: found {tuple(theirs[name].shape)}, expected {tuple(ours.shape)} by config.json"
                )
            worst[name] = difference(ours, theirs[name], rows)
    if unknown := sorted(theirs.keys() - worst.keys()):
        raise ValueError(f"{path}: '{unknown[0]:.120}' is nothing that a reference holds, or nothing in its layout")
    if reference.trunk:
        worst |= {
            f"resnet18_trunk/{name}": difference(ours, reference.trunk[name])
            for name, ours in trunk.outputs(reference.trunk)
        }
    if reference.gradient_norms:
        worst |= _gradients(reference)
    return worst


def difference(ours: Tensor, theirs: Tensor, rows: Tensor | None = None) -> float:
    """Give the largest absolute difference, of the rows that count; infinity where a number is not finite."""
    apart = (ours.detach().double() - theirs.double()).abs()
    apart = apart if rows is None else apart[rows]
    largest = float(apart.max()) if apart.numel() else 0.0
    return largest if bool(torch.isfinite(apart).all()) else float("inf")


def _outputs(reference: Reference) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    for run in RUNS:
        with torch.no_grad():
            done = Pass(reference, run)
            yield from ((f"{run}/{name}", ours, rows) for name, ours, rows in done.outputs())
        if run.startswith("eval"):
            yield from _mask(done, f"mask/{run.split('_')[1]}", reference)
    yield from pieces.outputs(reference)
    yield from ((name, ours, None) for name, ours in samplers.outputs(reference))


def _mask(done: Pass, name: str, reference: Reference) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Give the mask with its dead rows empty, as the reference has them: which are dead is compared, too."""
    ours = done.mask() & done.alive[..., None]
    theirs = reference.outputs.get(name)
    if theirs is not None and theirs.shape == ours.shape:
        alive = theirs.bool().diagonal(dim1=1, dim2=2) | done.alive
        yield name, ours.to(theirs.dtype), alive


def _gradients(reference: Reference) -> dict[str, float]:
    """Compare the norm of each loss term's gradient, parameter by parameter, with batch statistics."""
    by_term = {}
    for i, term in enumerate(("latent_loss", "robot_loss")):
        done = Pass(reference, "train_half")
        done.losses[i].backward()
        ours = {name: p.grad for name, p in done.act.named_parameters()}
        worst = 0.0
        for theirs, norms in reference.gradient_norms.items():
            name = our_name(theirs)
            if name in ours:
                grad, expected = ours.pop(name), norms.get(term) or 0.0
                norm = 0.0 if grad is None else float(grad.norm())
                worst = max(worst, abs(norm - expected) / max(1.0, expected))
        if ours:
            raise ValueError(f"gradient_norms.json: no norm of {next(iter(ours))}, which the actor trains")
        by_term[f"gradient_norms/{term}"] = worst
    return by_term
