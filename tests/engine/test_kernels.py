"""Stored ops turn into calls."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.fx import Graph, Node
from torch.nn import functional as F  # noqa: N812  # the customary name

from pytest_edgeload.engine.kernels import apply_int8, apply_linear, attend, bind, compile_op, convolve, copy_to
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.exporting.ops import encode
from pytest_edgeload.networks.layer import Op

GRAPH = Graph()
NODES = [GRAPH.placeholder(name) for name in ("x", "y", "w")]
VALUES: dict[str, Any] = {"x": torch.zeros(1), "y": torch.ones(2)}
WEIGHTS = {"part.w": torch.ones(3)}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(),
    st.text(),
    st.sampled_from([torch.float32, torch.bfloat16, torch.bool, torch.int64]),
    st.sampled_from([torch.contiguous_format, torch.channels_last, torch.preserve_format, torch.strided]),
    st.just(torch.device("cpu")),
    st.sampled_from(NODES),
)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.03, torch.float16: 0.004}
"""Differences by type that one rounding, or another order of summation, explains for a few dozen products."""

ARGUMENTS = st.recursive(SCALARS, lambda items: st.lists(items, max_size=3) | st.tuples(items, items), max_leaves=6)


def _reference(node: Node) -> dict[str, str]:
    return {"weight": "part.w"} if node.name == "w" else {"value": node.name}


def _same(found: object, given: object) -> bool:
    match given:
        case Node():
            return found is (VALUES | WEIGHTS)["part.w" if given.name == "w" else given.name]
        case list() | tuple():
            return isinstance(found, list) and len(found) == len(given) and all(map(_same, found, given))
        case float():
            return isinstance(found, float) and repr(found) == repr(given)  # 0.0 is not -0.0, NaN is NaN
        case _:
            return found == given and type(found) is type(given)


@given(ARGUMENTS)
def test_bind_is_the_inverse_of_encode(argument: object) -> None:
    """An argument that is encoded, written as JSON, read and bound is unchanged, except that tuples become lists."""
    stored = msgspec.json.decode(msgspec.json.encode(encode(argument, _reference)))
    assert _same(bind(stored)(VALUES, WEIGHTS), argument)


@pytest.mark.parametrize("argument", [1j, object(), {1: 2}, slice(1)])
def test_encode_refuses_other_types(argument: object) -> None:
    """The error for an argument of another type contains its value."""
    with pytest.raises(CannotExport, match=r"^argument .+ of an operator: it cannot be stored$"):
        encode(argument, _reference)


@pytest.mark.parametrize("target", ["aten.nonsense.default", "aten.relu.nonsense", "nonsense.relu.default"])
def test_unknown_operator_is_a_lookup_error(target: str) -> None:
    """The LookupError for an operator that this PyTorch lacks contains its name and PyTorch's version."""
    with pytest.raises(
        LookupError, match=f"^PyTorch {torch.__version__} has no operator {target}$".replace("+", r"\+")
    ):
        compile_op(Op(target, [], {}, "y"))


def test_calls_store_outputs_and_drop_unneeded_values() -> None:
    """Compiled ops read values and weights by name, store their output by name, and delete the values in `drops`."""
    ops = (
        Op("aten.add.Tensor", [{"value": "x"}, {"weight": "w"}], {"alpha": 2}, "sum"),
        Op("aten.split.Tensor", [{"value": "sum"}, 1], {}, "parts", ("x", "sum")),
        Op("getitem", [{"value": "parts"}, 1], {}, "part", ("parts",)),
    )
    values: dict[str, Any] = {"x": torch.tensor([1.0, 2.0]), "other": None}
    for call in map(compile_op, ops):
        call(values, {"w": torch.tensor([10.0, 20.0])})
    assert values == {"part": torch.tensor([42.0]), "other": None}


@given(st.data())
def test_convolve_equals_conv2d(data: st.DataObject) -> None:
    """The result equals PyTorch's convolution, even if the kernel covers the image, with and without a batch."""

    def two(low: int, high: int) -> tuple[int, int]:
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    groups, kernel = data.draw(st.integers(1, 2)), two(1, 4)
    stride, padding, dilation = two(1, 3), two(0, 1), two(1, 2)
    covers = data.draw(st.booleans())
    if covers:
        padding = data.draw(st.sampled_from([(0, 0), (0, 0), padding]))
    spread = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    more = (0, 0) if covers else two(0, 4)
    sides = kernel if covers and dilation == (1, 1) else [s + m for s, m in zip(spread, more, strict=True)]
    batch = data.draw(st.sampled_from([(), (1,), (3,)]))
    channels_in, channels_out = groups * data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3))
    x, weight = torch.randn(*batch, channels_in, *sides), torch.randn(channels_out, channels_in // groups, *kernel)
    bias = data.draw(st.sampled_from([None, torch.randn(channels_out)]))
    expected = torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
    torch.testing.assert_close(
        convolve(x, weight, bias, stride, padding, dilation, groups), expected, rtol=1e-4, atol=1e-4
    )
    if (groups, stride, padding, dilation) == (1, (1, 1), (0, 0), (1, 1)):
        torch.testing.assert_close(convolve(x, weight, bias), expected, rtol=1e-4, atol=1e-4)


@given(st.data())
def test_linear_equals_plain_pytorch(data: st.DataObject) -> None:
    """The result has the values, the shape and the layout of PyTorch's, for any type, batch, bias and strides."""
    dtype = data.draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]))
    batch = data.draw(st.sampled_from([(), (0,), (1,), (2,), (1, 1), (2, 3), (33,)]))
    inputs, outputs = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    x, weight = torch.randn(*batch, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    if data.draw(st.booleans()) and batch:  # strides of a transposed view
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    bias = data.draw(st.sampled_from([None, torch.randn(outputs).to(dtype)]))
    actual = apply_linear(x, weight, bias)
    expected = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert actual.is_contiguous()
    torch.testing.assert_close(actual, expected.to(dtype), rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@pytest.mark.skipif(not torch.cpu.get_capabilities().get("amx_bf16"), reason="other processors use PyTorch's linear")
@pytest.mark.parametrize("rows", [1, 2, 32])
@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 50).bfloat16()], ids=["no bias", "bias"])
def test_linear_with_few_rows_rounds_once(rows: int, bias: torch.Tensor | None) -> None:
    """In bfloat16, sums of a thousand products are as near to those of float64 as PyTorch's."""
    x, weight = torch.randn(rows, 1000).bfloat16(), torch.randn(50, 1000).bfloat16()
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    error = (apply_linear(x, weight, bias).double() - exact).abs().max()
    assert error <= 1.01 * (F.linear(x, weight, bias).double() - exact).abs().max()


@given(st.data())
def test_attention_equals_plain_pytorch(data: st.DataObject) -> None:
    """The result equals PyTorch's, for one token and several, with heads that share keys or not, and for any mask."""
    batch, shared, group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    tokens, keys, size = (
        data.draw(st.sampled_from([1, 1, 3])),
        data.draw(st.integers(1, 8)),
        data.draw(st.integers(1, 8)),
    )
    query = torch.randn(batch, shared * group, tokens, size)
    key, value = torch.randn(batch, shared, keys, size), torch.randn(batch, shared, keys, data.draw(st.integers(1, 8)))
    masks = [(tokens, keys), (1, tokens, keys), (batch, 1, tokens, keys), (batch, shared * group, tokens, keys)]
    mask = data.draw(st.none() | st.sampled_from(masks).map(torch.randn))
    is_causal = mask is None and data.draw(st.booleans())
    scale = data.draw(st.sampled_from([None, 0.5]))
    keys_of_all, values_of_all = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    expected = F.scaled_dot_product_attention(query, keys_of_all, values_of_all, mask, is_causal=is_causal, scale=scale)
    actual = attend(query, key, value, mask, 0.0, is_causal, scale=scale, enable_gqa=True)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    if group == 1:
        torch.testing.assert_close(attend(query, key, value, mask, 0.0, is_causal, scale=scale), expected)


@pytest.mark.parametrize("offset", [0, 2, 8, 16])
def test_packed_weights_may_begin_anywhere(offset: int) -> None:
    """The product with packed int8 weights is right at each address; PyTorch's own operator crashes at odd ones."""
    memory = torch.arange(37 * 64 + 80).remainder(201).sub(100).to(torch.int8)
    weight = memory[-memory.data_ptr() % 64 + offset :][: 37 * 64].view(37, 64)
    x, scales = torch.rand(3, 64).bfloat16(), torch.linspace(0.1, 1, 37).bfloat16()
    expected = x.double() @ (weight.double() * scales.double()[:, None]).t()
    error = (apply_int8(x, weight, scales) - expected).abs().max() / expected.abs().max()
    assert error < TOLERANCES[torch.bfloat16]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("options", [{}, {"memory_format": torch.contiguous_format}, {"device": torch.device("cpu")}])
def test_a_copy_to_a_type_is_always_a_copy(dtype: torch.dtype, options: dict[str, Any]) -> None:
    """The copy has PyTorch's values, type and strides, and shares no memory with the tensor, even of the same type."""
    x = torch.randn(3, 4).t()
    actual, expected = copy_to(x, dtype=dtype, **options), torch.ops.aten._to_copy.default(x, dtype=dtype, **options)
    assert (actual.dtype, actual.stride(), actual.data_ptr() == x.data_ptr()) == (dtype, expected.stride(), False)
    assert torch.equal(actual, expected)
    assert torch.equal(copy_to(x), x)
