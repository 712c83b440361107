"""What the families of today's networks share: a module around a model of transformers. Imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Answer(nn.Module):
    """Returns the named outputs of a model of transformers, and no other; `options` are constant arguments."""

    def __init__(self, model: nn.Module, *outputs: str, **options: Any) -> None:
        super().__init__()
        self.model, self.outputs, self.options = model, outputs, options

    def forward(self, *args: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the tensors in the order of their names."""
        answer = self.model(*args, **self.options)
        return tuple(getattr(answer, name) for name in self.outputs)
