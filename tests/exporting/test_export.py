"""Modules become layers that compute the same results, and whose declared bytes are those of a real run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its customary name
from torch.utils._pytree import tree_leaves

from pytest_edgeload import Inputs
from pytest_edgeload.engine import kernels, straight
from pytest_edgeload.engine.kernels import find_function
from pytest_edgeload.engine.lanes import run
from pytest_edgeload.engine.memory import trim
from pytest_edgeload.engine.perform import Performer
from pytest_edgeload.exporting.export import export
from pytest_edgeload.exporting.make import store_module
from pytest_edgeload.exporting.model import CannotExport
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.networks.layer import Network
from tests.builders import job, stored
from tests.engine.performers import CallbackPerformer, anonymous_bytes

pytestmark = pytest.mark.filterwarnings("ignore:.*assigned during export:UserWarning")  # nn.GRU does so

VOCABULARY, WIDTH = 11, 6


class Composed(nn.Module):
    """A module with these parts, computed by a function; plain tensors become buffers."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module | torch.Tensor) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            if isinstance(part, (nn.Module, nn.Parameter)):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Call the function with this module and its inputs."""
        return self._forward(self, *inputs)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(*shape))


def split(m: Any, x: torch.Tensor) -> torch.Tensor:
    a, b, c = m.a(x).split(2, -1)
    return torch.cat([m.b(a) * b, c], -1)


def fused(m: Any, x: torch.Tensor) -> torch.Tensor:
    q, k, v = (F.linear(x, weight) for weight in m.qkv.chunk(3))
    return (q @ k.mT).softmax(-1) @ v


def scaled(m: Any, x: torch.Tensor) -> torch.Tensor:
    weight = m.w * m.s
    return F.linear(m.a(F.linear(F.linear(x, weight), weight)), weight)


def tied(between: nn.Module) -> nn.Module:
    embed, answer = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
    answer.weight = embed.weight
    return nn.Sequential(embed, between, answer)


def normalised() -> nn.Module:
    norm = nn.BatchNorm2d(8)
    norm(torch.rand(4, 8, 3, 3))  # gives it statistics
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), norm, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True))


def channels_last(module: nn.Module) -> nn.Module:
    for tensor in module.parameters():
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module


def image(side: int = 9) -> torch.Tensor:
    return torch.rand(1, 3, side, side)


def rows(width: int = WIDTH) -> torch.Tensor:
    return torch.rand(2, width)


def words() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (2, 5))


def sequence() -> torch.Tensor:
    return torch.rand(2, 5, 8)


def linear(inputs: int = WIDTH, outputs: int = WIDTH) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def conv(outputs: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(3, outputs, 3, padding=1, **options)


@dataclass(frozen=True)
class Shape:
    """A module, its samples, and the kinds of the layers it is cut into."""

    module: Callable[[], nn.Module]
    inputs: Callable[[], tuple[torch.Tensor, ...]]
    kinds: tuple[str, ...]


SHAPES = {
    "conv, norm, relu in place, pool": Shape(normalised, lambda: (image(),), ("conv2d",)),
    "local response norm": Shape(
        lambda: nn.Sequential(conv(8), nn.LocalResponseNorm(5)), lambda: (image(),), ("conv2d",)
    ),
    "grouped conv": Shape(lambda: conv(6, groups=3), lambda: (image(),), ("conv2d",)),
    "branches": Shape(
        lambda: Composed(lambda m, x: torch.cat([m.a(x), m.b(x), x], 1), a=conv(), b=conv(5)),
        lambda: (image(),), ("conv2d", "conv2d"),
    ),
    "residual": Shape(
        lambda: Composed(lambda m, x: x + m.b(F.relu_(m.a(x))), a=linear(), b=linear()),
        lambda: (rows(),), ("linear",) * 2,
    ),
    "split": Shape(lambda: Composed(split, a=linear(), b=linear(2, 2)), lambda: (rows(),), ("linear",) * 2),
    "attention": Shape(
        lambda: Composed(lambda m, x: m.a(x, x, x), a=nn.MultiheadAttention(8, 2, batch_first=True)),
        lambda: (sequence(),), ("linear", "linear"),
    ),
    "attention in one op": Shape(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), lambda: (sequence(),), ("linear",) * 4
    ),
    "slices of one weight": Shape(lambda: Composed(fused, qkv=parameter(24, 8)), lambda: (sequence(),), ("linear",)),
    "embedding": Shape(lambda: nn.Embedding(VOCABULARY, WIDTH), lambda: (words(),), ("embedding",)),
    "tied, in one layer": Shape(lambda: tied(nn.ReLU()), lambda: (words(),), ("embedding",)),
    "tied, a layer between": Shape(lambda: tied(linear()), lambda: (words(),), ("embedding", "linear", "linear")),
    "masked": Shape(
        lambda: Composed(
            lambda m, x: ((m.a(x) @ x.mT + m.m).softmax(-1), x.masked_fill(x > 0.5, -torch.inf)),
            a=linear(8, 8), m=torch.full((5, 5), -torch.inf).triu(1),
        ),
        lambda: (sequence(),), ("linear", "add"),
    ),
    "a mask made on the way": Shape(
        lambda: Composed(lambda m, x: m.a(x).masked_fill(torch.ones(6, 6).tril() == 0, -torch.inf), a=linear()),
        lambda: (torch.rand(6, 6),), ("linear",),
    ),
    "several outputs": Shape(
        lambda: Composed(lambda m, x: {"first": (a := m.a(x)), "others": [m.b(a), x]}, a=linear(), b=linear()),
        lambda: (rows(),), ("linear", "linear"),
    ),
    "several inputs, one unused": Shape(
        lambda: Composed(lambda m, x, _, z: (m.a(x), m.b(x + z)), a=linear(), b=linear()),
        lambda: (rows(), torch.rand(100), rows()), ("linear", "linear"),
    ),
    "buffers": Shape(
        lambda: Composed(lambda m, x: m.a(x) * m.scale + m.shift, a=linear(), scale=torch.rand(6), shift=torch.rand(1)),
        lambda: (rows(),), ("linear",),
    ),
    "a constant": Shape(
        lambda: Composed(lambda m, x: m.a(x) + torch.tensor([1.0, 2.0, 3.0]), a=linear(1, 3)),
        lambda: (rows(1),), ("linear",),
    ),
    "float64": Shape(lambda: linear().double(), lambda: (rows().double(),), ("linear",)),
    "float16": Shape(lambda: linear().half(), lambda: (rows().half(),), ("linear",)),
    "bfloat16": Shape(lambda: linear().bfloat16(), lambda: (rows().bfloat16(),), ("linear",)),
    "mixed types": Shape(
        lambda: Composed(
            lambda m, x: m.b(m.a(x.half()).float() * m.keep), a=linear(6, 3).half(), b=linear(3, 5),
            keep=torch.tensor([True, False, True]),
        ),
        lambda: (rows(),), ("linear", "linear"),
    ),
    "a parameter added": Shape(
        lambda: Composed(lambda m, x: m.a(x + m.p), a=linear(), p=parameter(2, WIDTH)),
        lambda: (rows(),), ("add", "linear"),
    ),
    "a computed weight": Shape(
        lambda: Composed(scaled, a=linear(), w=parameter(6, 6), s=parameter(6, 1)), lambda: (rows(),), ("linear",) * 3
    ),
    "positions looked up": Shape(
        lambda: Composed(lambda m, x: m.a(x + m.p(m.ids)), a=linear(), p=nn.Embedding(9, 6), ids=torch.arange(2)),
        lambda: (rows(),), ("add", "linear"),
    ),
    "first op without weights": Shape(lambda: nn.Sequential(nn.ReLU(), linear()), lambda: (rows(),), ("linear",)),
    "no weights": Shape(nn.ReLU, lambda: (rows(),), ("other",)),
    "no ops": Shape(nn.Identity, lambda: (rows(),), ()),
    "a sample that is a slice": Shape(
        lambda: nn.Sequential(conv(), conv()), lambda: (torch.rand(7, 3, 9, 9)[2:3],), ("conv2d", "conv2d")
    ),
    "a sample of other strides": Shape(
        lambda: nn.Sequential(conv(), nn.Flatten()),
        lambda: (image().to(memory_format=torch.channels_last),), ("conv2d",),
    ),
    "weights of other strides": Shape(
        lambda: channels_last(nn.Sequential(conv(), conv())), lambda: (image(),), ("conv2d",) * 2
    ),
    "recurrent": Shape(lambda: nn.GRU(8, 5, batch_first=True), lambda: (sequence(),), ("gru",)),
}  # fmt: skip


class LiveBytes:
    """The bytes of the values of all requests while ops run, and their peak; the bytes of weights do not count."""

    def __init__(self) -> None:
        self._values: list[ref[torch.Tensor]] = []
        self._weights: list[ref[torch.Tensor]] = []
        self.max_bytes = 0

    def begin(self, values: object, weights: Iterable[torch.Tensor]) -> None:
        """Begin with these values of earlier layers."""
        self._values, self.max_bytes = [], 0
        self._weights = [ref(tensor) for tensor in weights]
        self._add(values)

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose results count as long as something refers to them."""

        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self._add(result)
            self.max_bytes = max(self.max_bytes, self.now())
            return result

        return call

    def _add(self, values: object) -> None:
        self._values += [ref(leaf) for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]

    def now(self) -> int:
        """Return the bytes of all storages of values, except those of weights."""
        storages, weights = (
            dict(_storage(tensor) for each in refs if (tensor := each()) is not None)
            for refs in (self._values, self._weights)
        )
        return sum(size for address, size in storages.items() if address not in weights)


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()


@dataclass
class LayeredRun:
    """A network that ran layer by layer: its errors, its bytes per layer, and the values that remain."""

    network: Network
    errors: list[float | None] = field(default_factory=list)
    max_bytes: list[int] = field(default_factory=list)
    live_out_bytes: list[int] = field(default_factory=list)
    remaining: set[str] = field(default_factory=set)


def run_layers(folder: Path, module: nn.Module, *samples: Any) -> LayeredRun:
    """Store `module` and run it layer by layer on `samples`."""
    made, _ = job("linear", stored(folder, module, *samples), requests=len(samples))
    live = LiveBytes()
    with pytest.MonkeyPatch.context() as patch:
        for file in (kernels, straight):
            patch.setattr(file, "find_function", lambda target: live.watched(find_function(target)))
        performer = Performer.of(made)
    seen = LayeredRun(read_graph(Path(made.networks[0])))

    def perform(index: int) -> None:
        task = made.plan.tasks[index]
        if task.kind == "exec":
            weights = [tensor for layer in performer._weights.values() for tensor in layer.values()]
            live.begin(dict(performer._values[task.request]), weights)
        performer.perform(index)
        if task.kind == "exec":
            seen.max_bytes.append(live.max_bytes)
            seen.live_out_bytes.append(live.now())

    run(made.plan, CallbackPerformer(perform))
    seen.errors += [performer.compare(r).error for r in range(len(samples))]
    seen.remaining = {name for r in range(len(samples)) for name in performer.values(r)}
    return seen


@pytest.fixture(scope="module", params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    """Return each of the shapes in turn."""
    return SHAPES[request.param]


@pytest.fixture(scope="module")
def seen(shape: Shape, tmp_path_factory: pytest.TempPathFactory) -> LayeredRun:
    """Run a shape on two samples."""
    torch.manual_seed(0)
    return run_layers(tmp_path_factory.mktemp("shape"), shape.module(), shape.inputs(), shape.inputs())


def test_layers_compute_what_pytorch_computes(seen: LayeredRun) -> None:
    """Layer by layer, a module computes the outputs of plain PyTorch, on each sample."""
    assert len(seen.errors) == 2
    assert all(error is not None and error < 1e-6 for error in seen.errors)


def test_layer_begins_at_each_op_with_a_matrix(shape: Shape, seen: LayeredRun) -> None:
    """A layer begins at each op that needs a new matrix or kernel, and its kind is that op."""
    assert tuple(layer.kind for layer in seen.network.layers) == shape.kinds


def test_declared_bytes_are_those_of_a_run(seen: LayeredRun) -> None:
    """The bytes that a layer declares are those that live while it runs and after it."""
    declared = [(layer.activation_bytes, layer.live_out_bytes) for layer in seen.network.layers] * 2
    assert declared == list(zip(seen.max_bytes, seen.live_out_bytes, strict=True))


def test_only_outputs_remain(seen: LayeredRun) -> None:
    """After all layers the outputs remain, and no other value."""
    assert seen.remaining == set(seen.network.outputs)


def test_values_computed_from_weights_do_not_outlive_them() -> None:
    """A value computed from weights alone does not outlive its layer, even if a later layer needs it as well."""
    module = Composed(scaled, a=linear(), w=parameter(6, 6), s=parameter(6, 1))
    assert [layer.live_out_bytes for layer in export(module, (rows(),)).layers] == [rows().nbytes] * 3


def test_shared_weight_is_stored_once(tmp_path: Path) -> None:
    """Two layers that share a weight load it from the same bytes of the file."""
    network = read_graph(stored(tmp_path, tied(linear()), (words(),)))
    first, _, last = network.layers
    assert first.weights == last.weights
    assert network.weight_bytes == 4 * (2 * VOCABULARY * WIDTH + WIDTH * WIDTH + WIDTH)


@pytest.mark.parametrize(
    ("module", "sample", "flops"),
    [
        (linear(6, 4), torch.rand(5, 6), 2 * 5 * 6 * 4),
        (nn.Conv2d(6, 8, 3, 2, 1, groups=2), torch.rand(2, 6, 9, 9), 2 * 2 * 8 * (6 // 2) * 3 * 3 * 5 * 5),
        (nn.Sequential(nn.ReLU(), linear(6, 4), nn.Sigmoid()), torch.rand(5, 6), 2 * 5 * 6 * 4),
        (nn.ReLU(), torch.rand(5), 0),
    ],
)
def test_multiplication_and_addition_count_as_two_flops(module: nn.Module, sample: torch.Tensor, flops: int) -> None:
    """A multiplication and its addition count as two FLOPs, by the formula of the layer's op."""
    assert [layer.flops for layer in export(module, (sample,)).layers] == [flops]


class _Hidden(nn.Module):
    """Keeps modules where PyTorch does not find them: in a list, in a function, and in a dict."""

    def __init__(self) -> None:
        super().__init__()
        hidden = linear()
        self.parts, self.table = [linear()], {"w": torch.rand(WIDTH, WIDTH)}
        self.function: Callable[[torch.Tensor], torch.Tensor] = lambda x: hidden(x).relu()

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.parts[0](x)) @ self.table["w"] @ torch.tensor([[1.0]] * WIDTH)


def test_layers_have_the_names_of_attributes() -> None:
    """A layer whose weights are not registered has the name of the attribute that leads to them, if there is one."""
    layers = export(_Hidden(), (rows(),)).layers
    assert [layer.name for layer in layers[:3]] == ["parts.0", "function.hidden", "table"]
    assert layers[3].name.startswith("lifted_tensor_")
    assert [*layers[0].weights] == ["parts.0.weight", "parts.0.bias"]


@pytest.mark.parametrize(
    ("module", "sample", "name"),
    [(conv(), image().to(memory_format=torch.channels_last), "input "), (channels_last(conv()), image(), "a.weight")],
)
def test_strides_of_stored_tensors_are_those_of_the_model(module: nn.Module, sample: torch.Tensor, name: str) -> None:
    """An operator on strides is refused if an input or weight is not contiguous, because it is stored as if it were."""
    strided = Composed(lambda m, x: m.a(x).as_strided((3, 4), (4, 1)), a=module)
    with pytest.raises(
        CannotExport, match=f"^aten.as_strided.default: it depends on the layout .*, and {name}.* is not"
    ):
        export(strided, (sample,))


def test_writing_weights_copies_them_one_by_one(tmp_path: Path) -> None:
    """Weights that are not contiguous are never in memory twice, all at the same time."""
    module = nn.Sequential(*(linear(1024, 1024) for _ in range(16)))  # 64 MiB
    for part in module:
        part.weight.data = part.weight.data.T
    sample, seen = (torch.rand(1, 1024),), list[int]()
    store_module(tmp_path, "net", module, [sample], lambda _done, _total: seen.append(anonymous_bytes()))
    gc.collect()
    trim()
    assert max(seen) - anonymous_bytes() < 24 << 20


def test_layer_has_the_name_of_its_submodule() -> None:
    """A layer has the name of the submodule that owns its matrix."""
    module = nn.Sequential(nn.Sequential(conv(), nn.ReLU()), nn.Flatten(), linear(243, 2))
    assert [layer.name for layer in export(module, (image(),)).layers] == ["0.0", "2"]


def test_module_is_stored_in_evaluation_mode(tmp_path: Path) -> None:
    """A module in training mode is stored as in evaluation mode, and each submodule keeps its own mode."""
    module = nn.Sequential(linear(), nn.Dropout(), nn.Dropout()).train()
    module[2].eval()
    seen = run_layers(tmp_path, module, (rows(),))
    assert seen.errors == [0.0]
    assert [part.training for part in module.modules()] == [True, True, True, False]


class Unknown:
    """An output of a type that torch does not know."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda _, x: x.add_(1), r"^input \w+: the module changes it in place; make it a buffer of the module, or let"),
        (lambda _, x: (x * 2, 3), "^output .*: not a tensor; give a module whose outputs are tensors$"),
        (lambda m, x: (x * 2, m.n), "^output n: an unchanged weight"),
        (lambda m, x: (x * 2, m.n[:1]), "weight"),
        (lambda _, x: x * 2 if x.sum() > 0 else x, "^torch.export cannot trace Composed: .*data-dependent"),
        (lambda _, x: x[x > 0], "data-dependent"),
        (
            lambda m, x: m.missing(x),
            "^torch.export cannot trace Composed: AttributeError: .*missing.*; give a module around",
        ),
        (
            lambda _, x: torch.rand_like(x) + x,
            "^aten.rand_like.default: it draws random numbers, so no two runs agree; call",
        ),
        (lambda _, x: nn.functional.dropout(x, 0.5, training=True), "^aten.*dropout.default: it draws random numbers"),
        (lambda _, x: Unknown(x), "^torch.export cannot trace Composed: .*Unknown.*; give a module around"),
    ],
)
def test_module_that_does_more_than_compute_is_refused(forward: Callable[..., Any], words: str) -> None:
    """A module that does more than compute tensors from tensors is refused with the reason."""
    with pytest.raises(CannotExport, match=words) as refused:
        export(Composed(forward, n=torch.zeros(2)), (torch.rand(2),))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_tensors_of_other_devices_are_refused() -> None:
    """A module and an input without values are refused with the device and a hint."""
    with pytest.raises(CannotExport, match=r"^an input: it is on the device meta; make the samples on the CPU$"):
        export(nn.ReLU(), (torch.ones(1, device="meta"),))
    with torch.device("meta"):
        module = Composed(lambda m, x: x * 2 + m.a.weight.shape[0], a=linear())
    with pytest.raises(
        CannotExport, match=r"^a.weight: it is on the device meta; give a module on the CPU, or one without w"
    ):
        export(module, (torch.ones(1),))


class Nested(nn.Module):
    """Takes tensors by position, by keyword and in nests, and constants; returns a nest with None in some places."""

    def __init__(self) -> None:
        super().__init__()
        self.a = linear()

    def forward(self, x: torch.Tensor, pairs: Any, *, times: int, scale: torch.Tensor, shift: Any = None) -> Any:
        """Use every input."""
        y = self.a(x) * scale + times
        return {"none": shift, "nest": [(y, None), {"left": pairs["b"][0] - y}], "same": y, "input": x}


def test_inputs_and_outputs_may_be_nested(tmp_path: Path) -> None:
    """Inputs come by position and keyword, in nests and any order; all tensors of a nest are outputs."""

    def sample(*, backwards: bool) -> Inputs:
        named = {"scale": torch.rand(6), "shift": None, "times": 3}
        nest = {"b": [rows(), torch.rand(1)], "a": torch.rand(1)}
        return Inputs((rows(), nest), dict(reversed(named.items())) if backwards else named)

    seen = run_layers(tmp_path, Nested(), sample(backwards=False), sample(backwards=True))
    assert seen.errors == [0.0, 0.0]
    assert len(seen.network.inputs) == 5
    assert len(seen.network.samples[0].outputs) == 4


@pytest.mark.parametrize("other", [{"times": 4}, {"scale": torch.rand(1)}, {"shift": 0}])
def test_sample_unlike_the_traced_one_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    """A sample of another shape or with another constant is refused, because the first one is traced."""
    given = {"scale": torch.rand(6), "shift": None, "times": 3}
    samples = [Inputs((rows(), {"b": [rows()]}), keywords) for keywords in (given, given | other)]
    with pytest.raises(CannotExport, match=r"^sample 1: it differs from sample 0 in shapes, types or constants; make"):
        stored(tmp_path, Nested(), *samples)
