"""The steps of a request: what one step gives to the next, and what is kept to compare. Imports torch."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence

import torch

from pytest_edgeload.engine.compare import Deviation, PartedSteps, index_error
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.networks.feed import Feed
from pytest_edgeload.tensors import fed


class StepsOfRequest:
    """Counts the steps of a request of `network`; `ends_s` has the end of each by `time.perf_counter`, in seconds."""

    def __init__(self, network: OpenNetwork, sample: int, steps: int) -> None:
        self._network = network
        self._sample = sample
        self._steps = steps
        self._inputs: Mapping[str, torch.Tensor] = {}  # those that are not passed on as they are
        self._numbers: dict[int, torch.Tensor] = {}  # that the rule argmax found, by input; the first axis is the step
        self.ends_s = array("d")  # a few bytes for each step, of which there may be thousands

    @property
    def has_ended(self) -> bool:
        """Whether the last step has ended."""
        return len(self.ends_s) == self._steps

    def begin(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Keep the inputs of the first step that the next one needs."""
        if self._steps > 1:
            self._inputs = self._kept(inputs)

    def _kept(self, inputs: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        network = self._network.network
        return {name: inputs[name] for i, name in enumerate(network.inputs) if i not in network.state}

    def end(self, outputs: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor] | None:
        """Count a step with these outputs as ended; return the inputs of the next one, None if it was the last."""
        self.ends_s.append(time.perf_counter())
        if self.has_ended:
            self._inputs = {}
            return None
        inputs = dict(self._inputs)
        for feed in self._network.network.feeds:
            name = self._name(feed)
            inputs[name] = _compact(fed(feed, outputs, inputs.get(name)))
            if feed.rule == "argmax":
                self._keep_numbers(int(feed.input), inputs[name])
        self._inputs = self._kept(inputs)
        return inputs

    def _keep_numbers(self, position: int, found: torch.Tensor) -> None:
        if position not in self._numbers:
            self._numbers[position] = found.new_empty((self._steps - 1, *found.shape))
        self._numbers[position][len(self.ends_s) - 1] = found

    def compare(self, outputs: Sequence[torch.Tensor]) -> Deviation:
        """Return how far the outputs of the last step are from plain PyTorch's, or how the first wrong number differs.

        A number that the rule argmax found is right if outputs within the tolerance give it. If it is another one than
        plain PyTorch's, the steps after it are others as well, so they are not compared.
        """
        network = self._network.network
        for step in range(1, len(self.ends_s)):
            expected = self._expected(step - 1)
            for feed in (feed for feed in network.feeds if feed.rule == "argmax" and feed.output in expected):
                number = self._numbers[int(feed.input)][step - 1]
                correct = fed(feed, [expected.get(i, number) for i in range(len(network.outputs))], number)
                if not torch.equal(number, correct):
                    error = index_error(expected[feed.output], number, correct)
                    found = f"{number.flatten().tolist()} instead of {correct.flatten().tolist()}"
                    return PartedSteps(error, f"after step {step} of {self._steps}, its next input is {found}")
        if self._steps == 1:
            return self._network.compare(outputs, self._sample)
        last = self._expected(self._steps - 1)
        return self._network.compare_with([outputs[i] for i in last], list(last.values()))

    def _expected(self, step: int) -> Mapping[int, torch.Tensor]:
        """Return plain PyTorch's outputs in a step, see `Network.expected`."""
        specs = self._network.network.expected(self._sample, step)
        return dict(zip(specs, self._network.tensors(tuple(specs.values())), strict=True))

    def _name(self, feed: Feed) -> str:
        return self._network.network.inputs[int(feed.input)]


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor, or a copy of it if it keeps more memory than its own."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
