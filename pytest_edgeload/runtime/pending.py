"""A request while it is served: its caller waits for the outputs of each step. Imports torch."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from queue import SimpleQueue

import torch

from pytest_edgeload.base.errors import UsageError
from pytest_edgeload.engine.network import OpenNetwork
from pytest_edgeload.engine.perform import OpenRequest
from pytest_edgeload.runtime.planning import TimedAsk

Outputs = tuple[torch.Tensor, ...]
"""The outputs of a network in one step."""


class AbandonedRequest(UsageError):
    """The caller does not want the other steps of its request, or its runtime is being closed."""


class PendingRequest:
    """A request for an open network, with `inputs` in order.

    The server calls `report` for each step, and `fail` if there is none; the caller takes the outputs from `results`.
    In a sequence, these are the outputs that no step passes on as they are, or all of them if all are passed on.
    """

    def __init__(self, ask: TimedAsk, network: OpenNetwork, inputs: Sequence[torch.Tensor]) -> None:
        self.ask, self.network = ask, network
        self.is_over = False
        self._inputs = inputs
        self._shown = range(len(network.network.own_outputs)) if ask.steps == 1 else network.network.compared
        self._passed_on = {feed.output for feed in network.network.feeds if feed.rule == "same"}
        self._left = ask.steps
        self._is_abandoned = False
        self._results: SimpleQueue[Outputs | BaseException] = SimpleQueue()

    @property
    def opened(self) -> OpenRequest:
        """The request as the engine carries it out."""
        return OpenRequest(self.network, steps=self.ask.steps, inputs=self._take_inputs, report=self.report)

    def _take_inputs(self) -> dict[str, torch.Tensor]:
        inputs, self._inputs = self._inputs, ()  # so that their memory goes as soon as the plan says
        return self.network.inputs_of(inputs)

    def report(self, outputs: Sequence[torch.Tensor]) -> None:
        """Give the outputs of a step to the caller. Raises AbandonedRequest if the caller is gone."""
        self._left -= 1
        self.is_over = not self._left
        self._results.put(tuple(_own(outputs[i], is_state=i in self._passed_on) for i in self._shown))
        if self._is_abandoned and not self.is_over:
            reason = "the runtime was closed before its last step"
            raise AbandonedRequest(f"network {self.ask.network}", reason, "close it after the sequence")

    def fail(self, error: BaseException) -> None:
        """Let the caller get `error` instead of the outputs that are left."""
        if not self.is_over:
            self.is_over = True
            self._results.put(error)

    def results(self, of: object = None) -> Generator[Outputs, None, None]:
        """Wait for each step, and yield its outputs; the request ends with the generator.

        The generator raises the exception with which the request failed. It refers to the object `of`.
        """
        results = self._results_after_start(of)
        next(results)  # closing a generator that has not started would not end the request
        return results

    def _results_after_start(self, of: object) -> Generator[Outputs, None, None]:
        try:
            yield ()
            for _ in range(self.ask.steps):
                result = self._results.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            del of
            self.abandon()

    def abandon(self) -> None:
        """End the request after its next step."""
        self._is_abandoned = True


def _own(output: torch.Tensor, *, is_state: bool) -> torch.Tensor:
    """Return an output, or a copy of state, and of a part of larger memory, such as a weight that is freed soon.

    It is not an inference tensor, which callers could neither change in place nor train with.
    """
    with torch.inference_mode(mode=False):
        if is_state or output.untyped_storage().nbytes() != output.nbytes or output.is_conj() or output.is_neg():
            return output.clone()
        own = torch.empty(0, dtype=output.dtype)
        return own.set_(output.untyped_storage(), 0, output.shape, output.stride())
