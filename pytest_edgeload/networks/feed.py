"""Feeds: how outputs become inputs, of the next step or of a later request. Never imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec
from msgspec.structs import force_setattr

from pytest_edgeload.base import arguments
from pytest_edgeload.base.arguments import MAX_INDEX, BadArgument

Rule = Literal["same", "argmax", "next"]

_RULES: tuple[Rule, ...] = get_args(Rule)


class Feed(msgspec.Struct, frozen=True, omit_defaults=True):
    """An input that is made of an output: of the step before, or of the last step of an earlier request.

    In a sample, `request` is None, and the feed is used from the second step on. In a request, `request` is the index
    of the earlier request, and the feed is used before the first step.

    `input` is the position or the keyword of an input; in a stored network, the position of a tensor. With the rule
    `same` it becomes output number `output`; a nest of tensors becomes as many outputs, from that number on. With
    `argmax` it becomes the index of the largest number along the output's last axis: the next token. If these are more
    than the input has, the last ones count. With `next` it becomes its own value plus one: a position.

    If `last`, only the last number along the last axis is passed on. So the first step can have the tokens of a prompt
    and their positions as inputs, and each later step has one token and one position.
    """

    input: int | str
    output: int = 0
    rule: Rule = "same"
    request: int | None = None
    last: bool = False

    def __post_init__(self) -> None:
        """Raise BadArgument unless the values are of their types."""
        if not isinstance(self.input, str):
            force_setattr(self, "input", arguments.whole("input", self.input, 0, MAX_INDEX))
        force_setattr(self, "output", arguments.whole("output", self.output, 0, MAX_INDEX))
        force_setattr(self, "rule", arguments.choice("rule", self.rule, _RULES))
        force_setattr(self, "last", arguments.flag("last", self.last))
        if self.rule == "same" and self.last:
            raise BadArgument.of("last", self.last, "not used by the rule same", "leave it out")
        if self.rule == "next" and self.output:
            raise BadArgument.of("output", self.output, "not used by the rule next", "leave it out")
        if self.request is not None:
            force_setattr(self, "request", arguments.whole("request", self.request, 0, MAX_INDEX))
            if self.rule == "next":
                raise BadArgument.of("rule", self.rule, "it counts the steps of one request", "try same or argmax")


def feeders(feeds: Iterable[Feed]) -> set[int]:
    """Return the earlier requests, as indices, that the feeds of a request come from."""
    return {feed.request for feed in feeds if feed.request is not None}


def compared(feeds: Iterable[Feed], outputs: int) -> tuple[int, ...]:
    """Return which of so many outputs are compared after the first step: those that are not passed on as they are.

    What is passed on shows in the outputs of the next step. If all are, all are compared.
    """
    passed = {feed.output for feed in feeds if feed.rule == "same"}
    return tuple(i for i in range(outputs) if i not in passed) or tuple(range(outputs))
