"""Audio of today: a keyword spotter and a recognizer of speech.

Contains networks of the published sizes with seeded weights instead of trained ones. `models.speech` has Whisper.
Imports torch, transformers, models.parts and models.weights.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from models.parts import Answer
from models.weights import Samples, seeded

SAMPLES_PER_S = 16_000


def wav2vec2_base() -> tuple[nn.Module, Samples]:
    """Return a recognizer of speech: one second of sound (1, 16000) to letters (1, 49, 32); 94,396,320 parameters.

    Baevski et al., "wav2vec 2.0", 2020; the configuration of facebook/wav2vec2-base-960h, which is the default of
    transformers.
    """
    model = Wav2Vec2ForCTC(Wav2Vec2Config())
    samples = seeded("wav2vec2_base", model, lambda random: (torch.randn(1, SAMPLES_PER_S, generator=random),))
    return Answer(model, "logits"), samples


def res8_narrow() -> tuple[nn.Module, Samples]:
    """Return a keyword spotter: a spectrogram of one second (1, 1, 101, 40) to 12 words (1, 12); 19,905 parameters.

    Tang and Lin, "Deep Residual Learning for Small-Footprint Keyword Spotting", 2018. XRBench uses it for keywords.
    """
    model = Res8(channels=19, words=12)
    samples = seeded("res8_narrow", model, _spectrogram)
    return model, samples


def _spectrogram(random: torch.Generator) -> tuple[torch.Tensor]:
    """Return coarse patterns of time and frequency; means of noise alone would all be the same."""
    return (functional.interpolate(4 * torch.randn(1, 1, 4, 3, generator=random), size=(101, 40), mode="nearest"),)


class Res8(nn.Module):
    """A convolution, three residual blocks of two convolutions each, and a linear layer."""

    def __init__(self, channels: int, words: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(3))
        self.words = nn.Linear(channels, words)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """Return a number for each word."""
        x = functional.avg_pool2d(functional.relu(self.first(sound)), (4, 3))
        for block in self.blocks:
            x = block(x)
        words: torch.Tensor = self.words(x.mean((2, 3)))
        return words


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.first_norm, self.second_norm = (nn.BatchNorm2d(channels, affine=False) for _ in range(2))

    def forward(self, before: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the same shape."""
        x = self.first_norm(functional.relu(self.first(before)))
        answer: torch.Tensor = self.second_norm(functional.relu(self.second(x)) + before)
        return answer
