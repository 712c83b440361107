"""Turns stored ops into calls: finds operators by name and binds arguments to values and weights. Imports torch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.nn import functional as F  # noqa: N812  # the customary name

from pytest_edgeload.engine import lean_torch
from pytest_edgeload.networks.layer import Op

_Key = TypeVar("_Key", int, str)

BoundArgument = Callable[[Mapping[str, Any], Mapping[str, torch.Tensor]], Any]
"""Returns an argument, given the values and the weights by name."""


@dataclass(frozen=True, slots=True)
class OpCall:
    """One op that is ready to run: it calls a function, stores the output, and drops values that no later op needs.

    `args` and `kwargs` contain the constants, `bound_args` (by position) and `bound_kwargs` the other arguments.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    bound_args: tuple[tuple[int, BoundArgument], ...]
    kwargs: Mapping[str, Any]
    bound_kwargs: tuple[tuple[str, BoundArgument], ...]
    output: str
    drops: tuple[str, ...]

    def __call__(self, values: MutableMapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        """Run on `values` and `weights`, both by name; change `values`."""
        args, kwargs = self.arguments(values, weights), self.kwargs
        if self.bound_kwargs:
            kwargs = {**kwargs, **{key: argument(values, weights) for key, argument in self.bound_kwargs}}
        values[self.output] = self.function(*args, **kwargs)
        self.drop(values)

    def arguments(self, values: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> list[Any]:
        """Return the arguments by position."""
        args = [*self.args]
        for i, argument in self.bound_args:
            args[i] = argument(values, weights)
        return args

    def argument(self, position: int, values: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Any:
        """Return the argument at `position`, which is a value or a weight."""
        return dict(self.bound_args)[position](values, weights)

    def drop(self, values: MutableMapping[str, Any]) -> None:
        """Delete the values that no op after this one needs."""
        for name in self.drops:
            del values[name]


def compile_op(op: Op) -> OpCall:
    """Return `op` ready to run. Raises LookupError if this PyTorch does not have its operator."""
    args, bound_args = _divide(dict(enumerate(op.args)))
    kwargs, bound_kwargs = _divide(op.kwargs)
    values = tuple(args.get(i) for i in range(len(op.args)))
    return OpCall(find_function(op.target), values, bound_args, kwargs, bound_kwargs, op.output, op.drops)


def _divide(arguments: Mapping[_Key, Any]) -> tuple[dict[_Key, Any], tuple[tuple[_Key, BoundArgument], ...]]:
    """Return the constants among stored `arguments`, and the others bound."""
    constants = {key: bind(argument)({}, {}) for key, argument in arguments.items() if not refers(argument)}
    return constants, tuple((key, bind(argument)) for key, argument in arguments.items() if key not in constants)


def find_function(target: str) -> Callable[..., Any]:
    """Return a function for the operator of this name. Raises LookupError if this PyTorch does not have it."""
    return _REPLACEMENTS.get(target) or _BINDINGS.get(target) or find_operator(target)


def find_operator(target: str) -> Callable[..., Any]:
    """Return the operator of this name. Raises LookupError if this PyTorch does not have it."""
    if target == "getitem":
        return operator.getitem
    namespace, name, overload = target.split(".")
    if namespace != "aten":
        lean_torch.complete()  # some operators outside aten are registered only then
    try:
        function: Callable[..., Any] = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except AttributeError as error:
        raise LookupError(f"PyTorch {torch.__version__} has no operator {target}") from error
    return function


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> torch.Tensor:
    """Return conv2d, as a matrix product if the kernel covers the whole image (one sum per output channel).

    PyTorch would first convert the weights to the layout of its convolutions, which takes longer than the sums.
    """
    covers = x.shape[-2:] == weight.shape[-2:] and x.ndim == weight.ndim
    if covers and groups == 1 and not any(padding) and all(step == 1 for step in dilation):
        return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


_HAS_TILE_UNIT = bool(torch.cpu.get_capabilities().get("amx_bf16"))
_MAX_ROWS = 32


def apply_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return linear; for bfloat16 and few rows as a product with `weight` on the left, if the processor has AMX.

    AMX multiplies tiles of bfloat16. PyTorch rearranges the right operand for it, so that should be the small one.
    """
    # GB of weights per second, as linear | with the weight on the left, by number of rows; PyTorch 2.13, one core of a
    # Xeon with AMX, weights of 960 x 2560 outside the caches:
    #     bfloat16               1: 10 | 14    2: 10 | 12    16: 7 | 11    32: 7 | 10    64: 6 | 6
    #     bfloat16 without AMX   1:  9 |  4    2:  7 |  4    16: 3 |  4
    #     float16                1:  6 |  4    2:  6 |  4    16: 3 |  4
    #     float32                1: 16 | 16    2: 14 |  8    16: 6 |  8
    # float16 that is widened to float32 tile by tile reaches 5.
    if x.dtype != torch.bfloat16 or not _HAS_TILE_UNIT or not 0 < x.numel() <= _MAX_ROWS * x.shape[-1]:
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if rows.shape[0] == 1:  # a tensor's len() takes two microseconds
        y = torch.mv(weight, rows[0]) if bias is None else torch.addmv(bias, weight, rows[0])
    else:
        columns = rows.t()
        y = torch.mm(weight, columns) if bias is None else torch.addmm(bias[:, None], weight, columns)
    return y.t().contiguous().view(*x.shape[:-1], weight.shape[0])


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,  # noqa: FBT001, FBT002  # the signature of the operator
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return attention; heads that share their keys become rows of one head if there is a single token.

    PyTorch would read the keys and values once for each head.
    """
    # Microseconds as heads | as rows; 15 heads of 64 numbers that share 5, one core as above:
    #      64 keys: float16  81 |  36, float32  38 | 33, bfloat16 30 | 36
    #     512 keys: float16 253 | 104, float32 102 | 64, bfloat16 72 | 65
    is_shared = enable_gqa and query.ndim == key.ndim == _HEADS_NDIM and key.shape[1] == value.shape[1]
    is_same_mask = attn_mask is None or attn_mask.ndim < 3 or attn_mask.shape[-3] == 1  # noqa: PLR2004
    if not (is_shared and is_same_mask and query.shape[2] == 1 and not is_causal):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    batch, heads, _, size = query.shape
    rows = query.reshape(batch, key.shape[1], heads // key.shape[1], size)
    return (
        F.scaled_dot_product_attention(rows, key, value, attn_mask, dropout_p, scale=scale).flatten(1, 2).unsqueeze(2)
    )


def apply_int8(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return the product with packed int8 weights; PyTorch's operator ends the process if they begin at odd addresses.

    It reads 16 of them at a time. Weights in a file may begin anywhere, for instance behind an odd number of scales.
    """
    aligned = weight.clone() if weight.data_ptr() % _INT8_ALIGNMENT else weight
    return _int8_product(x, aligned, scales)  # type: ignore[no-any-return]  # an operator has no type


_INT8_ALIGNMENT = 16  # bytes
_int8_product = find_operator("aten._weight_int8pack_mm.default")

_HEADS_NDIM = 4  # batch, heads, tokens, numbers

_REPLACEMENTS: Mapping[str, Callable[..., Any]] = {
    "aten._weight_int8pack_mm.default": apply_int8,
    "aten.conv2d.default": convolve,
    "aten.linear.default": apply_linear,
    "aten.scaled_dot_product_attention.default": attend,
}
"""Faster or safer functions for some operators."""


def copy_to(x: torch.Tensor, *, dtype: torch.dtype | None = None, **options: Any) -> torch.Tensor:
    """Return a copy of `x` in another type, with options of PyTorch's operator."""
    if dtype is None or options:
        copy: torch.Tensor = _copy_with_options(x, dtype=dtype, **options)
        return copy
    return x.to(dtype, copy=True)


_copy_with_options = find_operator("aten._to_copy.default")
_BINDINGS: Mapping[str, Callable[..., Any]] = {
    **{f"aten.{name}": getattr(torch, name.split(".")[0])
    for name in (
        "add.Tensor", "cat.default", "clone.default", "cos.default", "div.Tensor", "index_copy.default",
        "matmul.default", "mean.dim", "mul.Tensor", "neg.default", "permute.default", "pow.Tensor_Scalar",
        "reshape.default", "rsqrt.default", "sin.default", "sub.Tensor", "transpose.int", "unsqueeze.default",
    )},
    "aten._to_copy.default": copy_to,
    "aten.expand.default": torch.Tensor.expand,
    "aten.index_copy_.default": torch.Tensor.index_copy_,
    "aten.silu.default": F.silu,
}  # fmt: skip
"""The same operators as functions that Python calls in a microsecond less; a step of a decoder has a thousand ops."""


def refers(argument: Any) -> bool:
    """Return whether the stored `argument` contains a value or a weight; all others are constants."""
    match argument:
        case {"value": str()} | {"weight": str()}:
            return True
        case list():
            return any(refers(item) for item in argument)
    return False


def bind(argument: Any) -> BoundArgument:
    """Return a function that evaluates the stored `argument`; the inverse of `exporting.ops.encode`."""
    match argument:
        case {"value": str(name)}:
            return lambda values, _: values[name]
        case {"weight": str(name)}:
            return lambda _, weights: weights[name]
        case list():
            items = [bind(item) for item in argument]
            return lambda values, weights: [item(values, weights) for item in items]
        case {"float": str(text)}:
            constant: Any = float(text)
        case {"torch": str(name)}:
            constant = getattr(torch, name)
        case {"device": str(name)}:
            constant = torch.device(name)
        case _:
            constant = argument
    return lambda _values, _weights: constant
