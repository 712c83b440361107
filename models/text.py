"""Text of today: embeddings of sentences and of captions.

Contains networks of the published sizes, built from the configurations of transformers, with seeded weights instead of
trained ones. Imports torch, transformers, models.parts and models.weights.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModelWithProjection

from models.parts import Answer
from models.weights import Samples, seeded

_END = 49_407
"""The token that ends a text of CLIP; its place has the embedding of the text."""


def clip_text() -> tuple[nn.Module, Samples]:
    """Return the text part of CLIP ViT-B/32: 77 tokens to an embedding (1, 512); 63,428,096 parameters.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021; the configuration of
    openai/clip-vit-base-patch32, which is the default of transformers.
    """
    config = CLIPTextConfig(eos_token_id=_END)

    def text(random: torch.Generator) -> tuple[torch.Tensor]:
        tokens = torch.randint(_END - 1, (1, config.max_position_embeddings), generator=random)
        return (torch.cat([tokens[:, :-1], torch.tensor([[_END]])], 1),)

    model = CLIPTextModelWithProjection(config)
    samples = seeded("clip_text", model, text)
    return Answer(model, "text_embeds"), samples


def minilm_l6() -> tuple[nn.Module, Samples]:
    """Return an encoder of sentences: 64 tokens to their states (1, 64, 384); 22,713,216 parameters.

    Wang et al., "MiniLM: Deep Self-Attention Distillation", 2020; the configuration of
    sentence-transformers/all-MiniLM-L6-v2.
    """
    config = BertConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=6)
    model = BertModel(config)
    samples = seeded("minilm_l6", model, lambda random: (torch.randint(config.vocab_size, (1, 64), generator=random),))
    return Answer(model, "last_hidden_state", "pooler_output"), samples
