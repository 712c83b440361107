"""Decides whether images may have another layout than in plain PyTorch. Pure; never imports torch.

Convolutions are faster with the channels of a pixel next to each other ("channels last"). The values are the same, and
most operators find them in any layout. Some read the memory itself, by strides or as another type.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_edgeload.networks.layer import Network, Op

_STRIDED = {
    "as_strided", "as_strided_copy", "as_strided_scatter", "view_as", "view_as_complex", "view_as_complex_copy",
    "_unsafe_view", "_reshape_alias", "collapse_view", "split_dim", "view_of_dtype",
}  # fmt: skip
_STRIDED_OVERLOADS = {"view.dtype", "view_copy.dtype", "view_copy.default"}
_KNOWN_NAMESPACES = {"aten", "prims", "torchvision", "quantized_decomposed"}


def may_be_channels_last(network: Network) -> bool:
    """Return whether the images of `network` can be computed with channels last: it would help, and changes no value.

    It helps networks with convolutions. An operator from outside PyTorch may read memory as it likes.
    """
    is_convolutional = any(layer.is_convolution for layer in network.layers)
    return is_convolutional and not any(depends_on_strides(op) for op in _ops(network))


def _ops(network: Network) -> Iterator[Op]:
    """Yield the ops of all layers, also those of the first step."""
    for layer in network.layers:
        yield from layer.ops
        yield from () if layer.first is None else layer.first.ops


def depends_on_strides(op: Op) -> bool:
    """Return whether the result of `op`, or whether it works at all, depends on the layout of its inputs."""
    namespace, _, overload = op.target.partition(".")
    if not overload:  # getitem
        return False
    return namespace not in _KNOWN_NAMESPACES or overload in _STRIDED_OVERLOADS or overload.split(".")[0] in _STRIDED
