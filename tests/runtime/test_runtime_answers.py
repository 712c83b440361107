"""A runtime answers as plain PyTorch does, from any thread, under every policy, and stays usable."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_edgeload.base.errors import Refusal, UsageError
from pytest_edgeload.engine.readers import READERS
from pytest_edgeload.networks.compressed import STORES, StoreForm
from pytest_edgeload.networks.edgenet_writer import write_edgenet
from pytest_edgeload.networks.folder import read_graph
from pytest_edgeload.planning.plan import Budget, Builder, InvalidPlan, Plan
from pytest_edgeload.policies import POLICIES, Policy
from pytest_edgeload.runtime import Runtime, TooManyRequests
from pytest_edgeload.workload import Workload
from tests.engine.performers import anonymous_bytes
from tests.runtime.conftest import STEPS, TOKENS, StoredModules, first_inputs

MEMORY = "48M"


def of_my_own(workload: Workload, budget: Budget) -> Plan:
    """Load all inputs first, and then serve the last request first: a plan that cannot go on."""
    plan = Builder(workload, lanes=budget.lanes)
    inits = [plan.add("init", r) for r in range(len(workload.requests))]
    for r in reversed(range(len(workload.requests))):
        step = inits[r]
        layers = range(len(workload.requests[r].network.layers))
        with plan.loop(workload.requests[r].steps):
            for i in layers:
                for kind in ("load", "exec", "free"):
                    step = plan.add(kind, r, i, after=step)
    return plan.done()


@torch.no_grad()
def check(runtime: Runtime, networks: StoredModules, token: int = 5) -> None:
    """Ask each network, and compare the outputs with those of its module."""
    for name, inputs in (("image", torch.rand(1, 3, 10, 10)), ("wide", torch.rand(1, 512))):
        (output,) = runtime.ask(name, inputs, deadline_s=2.0)
        torch.testing.assert_close(output, networks.modules[name](inputs), rtol=1e-4, atol=1e-5)
    first = first_inputs(token)
    (number,), keywords = first.args, dict(first.kwargs)
    for (output,) in runtime.sequence("decoder", *first.args, **first.kwargs, steps=STEPS):
        expected, keywords["keys"] = networks.modules["decoder"](number, **keywords)
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
        number, keywords["place"] = expected.argmax(-1), keywords["place"] + 1


@pytest.mark.parametrize("policy", [*POLICIES, "ttl(1s)", "pin(wide)", of_my_own])
def test_outputs_are_those_of_plain_pytorch(asked_networks: StoredModules, policy: str | Policy) -> None:
    """Under each policy, and one's own, all requests are answered right: the first, repeated ones, and together."""
    with Runtime(asked_networks.folders, memory=MEMORY, policy=policy) as runtime, torch.no_grad():
        for token in range(3):
            check(runtime, asked_networks, token)
        x, image = torch.rand(1, 512), torch.rand(1, 3, 10, 10)
        (wide,), (classes,), (again,) = runtime.ask_all(("wide", x), ("image", image), ("wide", x))
        torch.testing.assert_close(wide, asked_networks.modules["wide"](x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(classes, asked_networks.modules["image"](image), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again, wide)


@pytest.mark.parametrize("policy", ["stream", "masa", "lru"])
def test_several_threads_may_ask(asked_networks: StoredModules, policy: str) -> None:
    """Four threads that ask at the same time get their own answers."""
    with Runtime(asked_networks.folders, memory=MEMORY, policy=policy) as runtime, ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(check, runtime, asked_networks, token) for token in range(8)]:
            done.result()


def read_bytes() -> int:
    """Return the bytes that this process has read from files."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("policy", ["lru", "stream"])
def test_weights_stay_in_memory_if_the_policy_keeps_them(asked_networks: StoredModules, policy: str) -> None:
    """The second requests of networks that fit in memory read no weights again; bulk reads all of them."""
    weights = sum(read_graph(folder).distinct_bytes for folder in asked_networks.folders.values())
    with Runtime(asked_networks.folders, memory=MEMORY, policy=policy) as runtime, torch.no_grad():
        check(runtime, asked_networks)
        check(runtime, asked_networks)
        before = read_bytes()
        check(runtime, asked_networks)
        assert read_bytes() - before < weights / 10
    with Runtime(asked_networks.folders, memory=MEMORY, policy="bulk") as runtime, torch.no_grad():
        check(runtime, asked_networks)
        before = read_bytes()
        check(runtime, asked_networks)
        assert read_bytes() - before > 0.9 * weights


@pytest.mark.parametrize("policy", ["lru", "stream"])
def test_order_of_requests_reads_nothing_again(asked_networks: StoredModules, policy: str) -> None:
    """Networks that fit in memory are not read again when they are asked in other orders."""
    inputs = {"image": (1, 3, 10, 10), "wide": (1, 512), "loop": (1, 64)}
    folders = {name: asked_networks.folders[name] for name in inputs}
    weights = sum(read_graph(folder).distinct_bytes for folder in folders.values())
    with Runtime(folders, memory=MEMORY, policy=policy) as runtime:
        for name in (*inputs, *inputs):
            runtime.ask(name, torch.rand(inputs[name]))
        before = read_bytes()
        for name in ("loop", "loop", "wide", "image", "image", "wide", "loop", "wide", "wide", "image"):
            runtime.ask(name, torch.rand(inputs[name]))
        assert read_bytes() - before < weights / 10


def test_failed_request_leaves_the_runtime_usable(asked_networks: StoredModules) -> None:
    """A token that the table does not have fails in the engine; its caller gets the error, and others are served."""
    with Runtime(asked_networks.folders, memory=MEMORY) as runtime, torch.no_grad():
        for _ in range(2):
            first = first_inputs(TOKENS + 1)
            with pytest.raises(IndexError, match="looked up"):
                list(runtime.sequence("decoder", *first.args, **first.kwargs, steps=3))
            check(runtime, asked_networks)


def test_caller_may_leave_a_sequence(asked_networks: StoredModules) -> None:
    """A sequence of which only two steps are wanted, or none, ends, however long it is, and others are served."""
    with Runtime(asked_networks.folders, memory=MEMORY) as runtime:
        steps = runtime.sequence("loop", torch.rand(1, 64), steps=10**9)
        assert [len(next(steps)) for _ in range(2)] == [1, 1]
        steps.close()
        runtime.sequence("loop", torch.rand(1, 64), steps=10**9).close()  # before its first step
        check(runtime, asked_networks)


def test_urgent_request_is_served_while_a_long_one_runs(asked_networks: StoredModules) -> None:
    """With `stream`, a request with a short deadline is answered before a sequence of a million steps has ended."""
    begun, enough = threading.Event(), threading.Event()

    def follow(runtime: Runtime) -> int:
        count = 0
        for _ in runtime.sequence("loop", torch.rand(1, 64), steps=1_000_000, deadline_s=10_000.0):
            begun.set()
            count += 1
            if enough.is_set():
                break
        return count

    with Runtime(asked_networks.folders, memory=MEMORY) as runtime, ThreadPoolExecutor(1) as thread:
        count = thread.submit(follow, runtime)
        begun.wait()
        for _ in range(3):
            runtime.ask("wide", torch.rand(1, 512), deadline_s=0.5)
        enough.set()
        assert count.result() < 1_000_000


def test_inputs_are_not_changed(asked_networks: StoredModules) -> None:
    """The state that a caller gives stays as it is, although steps overwrite state."""
    first = first_inputs(1)
    with Runtime({"decoder": asked_networks.folders["decoder"]}) as runtime:
        list(runtime.sequence("decoder", *first.args, **first.kwargs, steps=STEPS))
    assert not first.kwargs["keys"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"memory": "17M"},
            "network wide: policy bulk needs 20M for it, and memory is 17M; give more memory, or another policy",
        ),
        ({"memory": "12X"}, "memory='12X': not a size; try 300M or 1G"),
        ({"policy": "bluk"}, "policy 'bluk': not known; did you mean bulk?"),
        ({"max_waiting": 0}, "max_waiting=0: too small; give at least 1"),
        ({"reader": "fast"}, "reader='fast': not a choice; choose from read, mmap, direct, auto"),
    ],
)
def test_wrong_arguments_are_refused(asked_networks: StoredModules, arguments: dict[str, Any], message: str) -> None:
    """One sentence names the argument, its value and the way out, before anything is asked."""
    with pytest.raises(UsageError) as refused:
        Runtime(asked_networks.folders, **{"policy": "bulk", **arguments})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("wide.edgenet", "networks='wide.edgenet': not a mapping; give one such as {'detector': 'detector.edgenet'}"),
        ({1: "wide.edgenet"}, "name of a network=1: not text; give text in quotes"),
        (
            {"wide": "wide"},
            "networks['wide']='wide': not a stored network; give the .edgenet file of edgeload store, or",
        ),
        ({"wide": ""}, "networks['wide']='': not a stored network; give the .edgenet file of edgeload store, or"),
        ({"wide": "a\0"}, "networks['wide']='a\\x00': not a stored network; give the .edgenet file of edgeload store"),
        ({"wide": "no.edgenet"}, "no.edgenet: No such file or directory; name an existing .edgenet file"),
    ],
)
def test_wrong_networks_are_refused(networks: Any, message: str) -> None:
    """One sentence names the network and the way out, and none advises to delete a folder that is not the cache's."""
    with pytest.raises(Refusal) as refused:
        Runtime(networks)
    assert str(refused.value).startswith(message)


def test_cache_that_cannot_be_written_has_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the environment variable that moves the cache."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        Refusal, match="Not a directory; name another folder with the environment variable XDG_CACHE_HOME"
    ):
        Runtime({"text": "json:loads"})


@pytest.mark.parametrize("policy", ["bulk", "linear", "stream"])
def test_named_memory_is_enough(asked_networks: StoredModules, policy: str) -> None:
    """A runtime that is refused for far too little memory is opened with the size that the message names."""
    networks = {"wide": asked_networks.folders["wide"]}
    with pytest.raises(UsageError) as refused:
        Runtime(networks, memory="1K", policy=policy)
    found = re.search(r"needs (\S+) for it", str(refused.value))
    assert found is not None
    Runtime(networks, memory=found[1], policy=policy).close()


def test_wrong_requests_are_refused(asked_networks: StoredModules) -> None:
    """One sentence names the input and the way out, and the runtime stays usable."""
    keywords = "no keywords instead of the keywords keys, place"
    with Runtime(asked_networks.folders) as runtime, torch.no_grad():
        for name, inputs, message in (
            ("wide", [torch.rand(1, 3)], "network wide: input 0: float32 [1, 3] instead of float32 [1, 512]; give the"),
            ("wide", [], "network wide: the inputs: 0 tensors instead of 1; give the inputs that the network was"),
            (
                "wide",
                [[1.0]],
                "network wide: input 0: of type list, not a tensor; give the inputs that the network was",
            ),
            (
                "wide",
                [torch.rand(1, 512, device="meta")],
                "network wide: input 0: on the device meta, not the CPU; give",
            ),
            ("wide", [torch.rand(1, 512).to_sparse()], "network wide: input 0: of the layout sparse_coo, not dense; g"),
            ("wise", [], "network 'wise': not in this runtime; did you mean wide?"),
            ("decoder", first_inputs(1).args, f"network decoder: the inputs: {keywords}; give the inputs that"),
        ):
            with pytest.raises(UsageError) as refused:
                runtime.ask(name, *inputs)
            assert str(refused.value).startswith(message)
        for deadline_s in (float("nan"), float("inf")):
            with pytest.raises(
                UsageError, match=f"deadline_s={deadline_s}: not finite; leave it out if nothing is due"
            ):
                runtime.ask("wide", torch.rand(1, 512), deadline_s=deadline_s)
        with pytest.raises(UsageError, match=r"network=\['wide'\]: not text; give text in quotes"):
            runtime.ask(["wide"], torch.rand(1, 512))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"asked\[0\]='wide': not a request; give a network and its inputs"):
            runtime.ask_all("wide", torch.rand(1, 512))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="network wide: its steps take nothing from each other; store it with"):
            runtime.sequence("wide", torch.rand(1, 512), steps=2)
        check(runtime, asked_networks)
    with pytest.raises(UsageError, match="the runtime: closed; ask inside its `with` block"):
        runtime.ask("wide", torch.rand(1, 512))


def test_wrong_policy_of_ones_own_is_refused(asked_networks: StoredModules) -> None:
    """A plan that cannot be carried out is refused by the name of the policy."""

    def empty(workload: Workload, budget: Budget) -> Plan:
        return Plan(())

    with pytest.raises(InvalidPlan, match="policy empty: the plan lacks 1 exec of request 0, layer 0"):
        Runtime(asked_networks.folders, memory=MEMORY, policy=empty)


def test_failing_policy_of_ones_own_serves_the_next_request(asked_networks: StoredModules) -> None:
    """A policy that raises an exception for one request is not asked about it again."""

    def picky(workload: Workload, budget: Budget) -> Plan:
        if any(request.deadline_s == 1.0 for request in workload.requests):
            raise KeyError("picky")
        return of_my_own(workload, budget)

    with Runtime(asked_networks.folders, policy=picky) as runtime:
        with pytest.raises(KeyError, match="picky"):
            runtime.ask("wide", torch.rand(1, 512), deadline_s=1.0)
        check(runtime, asked_networks)


def test_outputs_belong_to_the_caller(asked_networks: StoredModules) -> None:
    """Outputs are normal tensors: they can be changed in place, and train another module."""
    with Runtime({"wide": asked_networks.folders["wide"]}) as runtime:
        (output,) = runtime.ask("wide", torch.rand(1, 512))
    output.clamp_(0.0, 1.0)
    nn.Linear(512, 1)(output).sum().backward()


def test_exception_ends_sequences(asked_networks: StoredModules) -> None:
    """A block that ends with an exception does not wait for the steps that nobody takes."""
    asked = []

    def fail_after_a_step() -> None:
        with Runtime(asked_networks.folders) as runtime:
            asked.append(runtime.sequence("loop", torch.rand(1, 64), steps=50_000))
            next(asked[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_step()
    with pytest.raises(UsageError, match="network loop: the runtime was closed before its last step; close it after"):
        list(asked[0])


def test_forked_child_is_refused_and_the_process_ends(asked_networks: StoredModules) -> None:
    """A child has no thread that serves; and a process that never closes its runtime ends while a sequence runs."""
    code = f"""if True:
        import os, torch
        from pytest_edgeload.runtime import Runtime
        runtime = Runtime({{"loop": {str(asked_networks.folders["loop"])!r}}})
        steps = runtime.sequence("loop", torch.rand(1, 64), steps=50_000)
        next(steps)
        child = os.fork()
        if not child:
            try:
                runtime.ask("loop", torch.rand(1, 64))
            finally:
                runtime.close()
        os.waitpid(child, 0)
    """
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert (
        process.stderr.count("Error: the runtime: opened before this process was forked; open another one in it") == 1
    )


def test_requests_beyond_the_most_that_may_wait_are_refused(asked_networks: StoredModules) -> None:
    """The third request is refused while a sequence and an image wait, and served after the sequence has ended."""
    with Runtime(asked_networks.folders, memory=MEMORY, max_waiting=2) as runtime, torch.no_grad():
        steps = runtime.sequence("loop", torch.rand(1, 64), steps=10**9)
        with pytest.raises(TooManyRequests) as refused:
            runtime.ask_all(("wide", torch.rand(1, 512)), ("wide", torch.rand(1, 512)))
        expected = (
            "the runtime: at most 2 may wait for answers, but 1 did and 2 more came; ask again later, "
            "or raise max_waiting"
        )
        assert str(refused.value) == expected
        steps.close()
        check(runtime, asked_networks)


def test_dropped_runtime_is_closed(asked_networks: StoredModules) -> None:
    """A runtime without a reference ends its thread, but not while somebody takes the steps of a sequence."""
    before = threading.active_count()
    runtime = Runtime(asked_networks.folders)
    steps = runtime.sequence("loop", torch.rand(1, 64), steps=3)
    del runtime
    assert [len(next(steps)) for _ in range(2)] == [1, 1]
    with pytest.warns(ResourceWarning, match="a runtime was not closed; use it in a `with` block"):
        del steps
    for thread in threading.enumerate():
        if thread.name.startswith("edgeload"):
            thread.join(60)
    assert threading.active_count() == before


@pytest.mark.parametrize(("policy", "reader"), [("bulk", "read"), ("lru", "direct"), ("stream", "direct")])
def test_best_reader_is_chosen(asked_networks: StoredModules, policy: str, reader: str) -> None:
    """Weights that a policy reads again come through the page cache, and those that it keeps past it."""
    with Runtime(asked_networks.folders, policy=policy) as runtime:
        assert type(runtime._networks["wide"].weights) is READERS[reader]  # only its time shows it


def test_requests_leave_no_garbage(asked_networks: StoredModules) -> None:
    """Served requests are freed at once, because a collection comes late in a process with as many objects."""
    with Runtime(asked_networks.folders, memory=MEMORY) as runtime:
        check(runtime, asked_networks)
        gc.collect()
        gc.disable()
        try:
            for _ in range(40):
                runtime.ask("wide", torch.rand(1, 512))
            assert gc.collect() < 40
        finally:
            gc.enable()


def test_closing_returns_the_memory(tmp_path: Path, asked_networks: StoredModules) -> None:
    """After a runtime that kept all weights is closed, this process has no more memory than before it, but caches."""
    with Runtime(asked_networks.folders, policy="lru") as runtime:
        check(runtime, asked_networks)
    gc.collect()
    before = anonymous_bytes()
    threads = threading.active_count()
    with Runtime(asked_networks.folders, policy="lru") as runtime:
        check(runtime, asked_networks)
        assert anonymous_bytes() - before > 3 << 20  # the weights
    gc.collect()
    assert anonymous_bytes() - before < 1 << 20
    assert threading.active_count() == threads


def test_import_needs_no_pytest() -> None:
    """The runtime imports neither pytest nor hypothesis: a device needs neither."""
    code = "import sys, pytest_edgeload.runtime; print({'pytest', 'hypothesis', '_pytest'} & sys.modules.keys())"
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "set()"


@pytest.mark.parametrize("reader", ["read", "direct"])
def test_compressed_weights_give_the_same_outputs(tmp_path: Path, asked_networks: StoredModules, reader: str) -> None:
    """Outputs from a file with compressed weights equal those from plain weights bit by bit, beside a plain network."""
    file = tmp_path / "wide.edgenet"
    write_edgenet(file, asked_networks.folders["wide"], form="compressed")
    networks = {"plain": asked_networks.folders["wide"], "compressed": file}
    with Runtime(networks, memory=MEMORY, reader=reader) as runtime:
        for _ in range(3):
            x = torch.rand(1, 512)
            (expected,), (found,) = runtime.ask_all(("plain", x), ("compressed", x))
            assert torch.equal(found, expected)
    with pytest.raises(
        UsageError, match="network compressed: reader mmap: compressed weights cannot be mapped; choose"
    ):
        Runtime(networks, reader="mmap")


def test_memory_to_restore_weights_is_part_of_the_promise(tmp_path: Path, asked_networks: StoredModules) -> None:
    """A network needs more memory if its weights are compressed: the library, and a piece for each lane."""
    file = tmp_path / "wide.edgenet"
    write_edgenet(file, asked_networks.folders["wide"], form="compressed")
    reason = "network wide: policy bulk needs 26M for it, and memory is 25M; give more memory, or another policy"
    with pytest.raises(UsageError, match=reason):
        Runtime({"wide": file}, memory="25M", policy="bulk")
    Runtime({"wide": asked_networks.folders["wide"]}, memory="25M", policy="bulk").close()


@pytest.mark.parametrize("form", STORES)
def test_truncated_file_fails_each_request_by_its_name(
    tmp_path: Path, asked_networks: StoredModules, form: StoreForm
) -> None:
    """A file that becomes shorter while it is open fails its requests with its path; other networks are answered."""
    file = tmp_path / "wide.edgenet"
    write_edgenet(file, asked_networks.folders["wide"], form=form)
    networks = {"wide": file, "loop": asked_networks.folders["loop"]}
    with Runtime(networks, memory=MEMORY, policy="bulk", reader="read") as runtime:
        runtime.ask("wide", torch.rand(1, 512))
        os.truncate(file, 100_000)
        for _ in range(2):
            with pytest.raises(EOFError, match=f"{file}: the weights file ends at byte 100000; restore it"):
                runtime.ask("wide", torch.rand(1, 512))
            runtime.ask("loop", torch.rand(1, 64))
