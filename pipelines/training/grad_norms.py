"""Which part of a model its gradients are large in."""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

PREFIX = "grad_norm_"


@torch.no_grad()
def grad_norms(model: nn.Module) -> dict[str, Tensor]:
    """Give the norm of the gradients of each part that a model names first: `grad_norm_encoder`. All ranks call it."""
    norms = {}
    for name, part in model.named_children():
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        kinds = [[g for g in gradients if isinstance(g, DTensor) is sharded] for sharded in (False, True)]
        totals = [nn.utils.get_total_norm(some) for some in kinds if some]
        if totals:
            whole = [t.full_tensor() if isinstance(t, DTensor) else t for t in totals]
            norms[PREFIX + name] = torch.stack(whole).norm()
    return norms
