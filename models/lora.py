"""Low-rank adapters beside frozen linear maps, and how they become plain weights again."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.lora_config import LoraConfig


class LoraLinear(nn.Linear):
    """A linear map with an adapter: W + alpha / rank B A. B starts at zero, hence the whole as it was."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = config.alpha / config.rank
        self.lora_a = nn.Parameter(base.weight.new_empty(config.rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, config.rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """Map, and add what the adapter makes of the same input."""
        change = nn.functional.linear(nn.functional.linear(x, self.lora_a), self.lora_b)
        return super().forward(x) + self.scale * change

    def merged(self) -> nn.Linear:
        """Give the plain linear map that does the same."""
        plain = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        change = self.lora_b.detach().double() @ self.lora_a.detach().double()
        weight = self.weight.detach() + (self.scale * change).to(self.weight.dtype)
        plain.weight = nn.Parameter(weight)
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach().clone())
        return plain


def add_adapters(model: nn.Module, prefixes: tuple[str, ...], config: LoraConfig) -> None:
    """Put an adapter beside every linear map whose name begins with one of the prefixes, in place."""
    for name, linear in list(model.named_modules()):
        if type(linear) is nn.Linear and name.startswith(prefixes):
            _replace(model, name, LoraLinear(linear, config))


@torch.no_grad()
def merge_adapters(model: nn.Module) -> None:
    """Turn every adapted linear map of a model into a plain one, in place."""
    for name, adapted in list(model.named_modules()):
        if isinstance(adapted, LoraLinear):
            _replace(model, name, adapted.merged())


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
