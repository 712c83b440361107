"""Attention whose heads share keys and values reads them once, not as a copy for each head. Pure; never imports torch.

transformers repeats the keys and values of such heads with other ops before each attention: for each token, a copy of
the whole cache. The operator itself can share them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pytest_edgeload.networks.layer import Op

ATTENTION = "aten.scaled_dot_product_attention.default"
_REPEATS = (
    ("unsqueeze.default", "expand.default", "clone.default", "_unsafe_view.default"),
    ("unsqueeze.default", "expand.default", "reshape.default"),
)
_HEAD_AXIS, _REPEATED_NDIM = 1, 5  # of [batch, heads, repeats, tokens, numbers]


def share_heads(ops: Sequence[Op]) -> tuple[Op, ...]:
    """Return `ops` with attention that shares heads in place of attention to repeated keys and values."""
    uses = Counter(name for op in ops for name in _values([op.args, list(op.kwargs.values())]))
    makers = {op.output: op for op in ops}
    shared, gone = dict[str, Op](), set[str]()
    for op in (op for op in ops if op.target == ATTENTION and not op.kwargs.get("enable_gqa")):
        key, value = (_repeated(op.args[i], op, makers, uses) for i in (1, 2))
        chains = (*(key or ()), *(value or ()))
        if key and value and not _changes_memory(ops, chains, op):
            args = [op.args[0], key[0].args[0], value[0].args[0], *op.args[3:]]
            drops = {*op.drops, *(name for each in chains for name in each.drops)} - {each.output for each in chains}
            kwargs = {**op.kwargs, "enable_gqa": True}
            shared[op.output] = msgspec.structs.replace(op, args=args, kwargs=kwargs, drops=tuple(sorted(drops)))
            gone |= {each.output for each in chains}
    return tuple(shared.get(op.output, op) for op in ops if op.output not in gone)


def _repeated(argument: Any, user: Op, makers: Mapping[str, Op], uses: Mapping[str, int]) -> tuple[Op, ...] | None:
    """Return the ops that repeat the heads of `argument`, an argument of `user`; None if there are no such ops.

    Nothing else uses what they make.
    """
    chain: list[Op] = []
    while isinstance(argument, dict) and (maker := makers.get(argument.get("value", ""))):
        if uses[maker.output] != 1 or maker.output not in (chain[0] if chain else user).drops:
            return None
        chain.insert(0, maker)
        if maker.target == "aten.unsqueeze.default":
            break
        argument = maker.args[0] if maker.args else None
    targets = tuple(op.target.removeprefix("aten.") for op in chain)
    return tuple(chain) if targets in _REPEATS and _repeats_heads(chain) else None


def _changes_memory(ops: Sequence[Op], chains: Sequence[Op], attention: Op) -> bool:
    """Return whether an op between the copies and the attention may write to the memory that was copied."""
    between = ops[min(ops.index(op) for op in chains) : ops.index(attention)]
    return any(re.search(r"[^_]_\.", op.target) for op in between)


def _repeats_heads(chain: Sequence[Op]) -> bool:
    """Return whether the ops repeat each head of [batch, heads, tokens, numbers] some times, next to each other."""
    unsqueeze, expand, last = chain[0], chain[1], chain[-1]
    sizes = expand.args[1]
    if unsqueeze.args[1] != _HEAD_AXIS + 1 or len(sizes) != _REPEATED_NDIM:
        return False
    batch, heads, repeats, *rest = sizes
    return all(isinstance(size, int) and size > 0 for size in sizes) and last.args[1] == [batch, heads * repeats, *rest]


def _values(argument: Any) -> Iterator[str]:
    """Yield the names of the values in stored arguments."""
    match argument:
        case {"value": str(name)}:
            yield name
        case list():
            for item in argument:
                yield from _values(item)
