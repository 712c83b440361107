"""A network whose layers have the kinds and sizes of common ones, to measure how quickly a machine computes them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the customary name

_PIXELS, _TOKENS, _WIDTH, _WORDS, _HEADS = 128, 128, 384, 4096, 6


class _Block(nn.Module):
    """A block of a transformer: attention and two linear layers, each with a normalization."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output for tokens of shape (1, tokens, width)."""
        batch, tokens, width = x.shape
        parts = self.qkv(self.first_norm(x)).reshape(batch, tokens, 3, _HEADS, width // _HEADS).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, width))
        hidden: torch.Tensor = self.down(F.gelu(self.up(self.second_norm(x))))
        return x + hidden


class SampleLayers(nn.Module):
    """Convolutions of five shapes, large and small matrices for one row and for many, an embedding, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 1), nn.ReLU()),
            *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)),
            *(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(256, 512, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.hidden, self.classes = nn.Linear(512 * 16, 2048), nn.Linear(2048, 1000)
        self.words = nn.Embedding(_WORDS, _WIDTH)
        self.along = nn.Conv1d(_WIDTH, _WIDTH, 3, padding=1)
        self.small, self.large = _Block(_WIDTH, 4 * _WIDTH), _Block(_WIDTH, 16 * _WIDTH)

    def forward(self, image: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the classes of `image` (1, 3, 128, 128) and the tokens of `words` (1, 128)."""
        classes = self.classes(F.relu(self.hidden(self.image(image).flatten(1))))
        tokens = self.along(self.words(words).transpose(1, 2)).transpose(1, 2)
        return classes, self.large(self.small(tokens))


def sample_layers() -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Return the module, in the state of a fixed seed, and one sample."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    image = torch.rand((1, 3, _PIXELS, _PIXELS), generator=generator)
    return SampleLayers().eval(), [(image, torch.randint(_WORDS, (1, _TOKENS), generator=generator))]
