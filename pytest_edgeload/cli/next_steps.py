"""The commands and the line of Python that put advice to use: calibrate, store, run in an application, measure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from pytest_edgeload.base.text import printable
from pytest_edgeload.base.units import exact_size
from pytest_edgeload.networks.compressed import PLAIN, StoreForm
from pytest_edgeload.networks.edgenet import SUFFIX, is_edgenet
from pytest_edgeload.policies import POLICIES, Policy
from pytest_edgeload.results.advice import Advice, ChoiceRun
from pytest_edgeload.results.case import REFERENCE


def next_steps(
    advice: Advice, sources: Mapping[str, str], policies: Mapping[str, Policy], form: StoreForm = PLAIN
) -> list[str]:
    """Return the next steps, a line each; none if nothing is recommended.

    `sources` has the networks of the advice by name: the word on the command line, which may be a function or a file.
    `policies` has the functions of all policies, and `form` is the form of the weights.
    """
    best = advice.recommended
    if best is None:
        return []
    unstored = [word for word in sources.values() if not is_edgenet(word)]
    words = [*unstored, *([] if form == PLAIN else [f"--store={form}"])]
    store = [shlex.join(["edgeload", "store", *words])] if unstored else []
    files = {name: word if is_edgenet(word) else f"{name}{SUFFIX}" for name, word in sources.items()}
    runtime = _runtime(best, best.limit_bytes - advice.idle_bytes, files, policies[best.choice.policy])
    return [printable(line) for line in (*_calibrate(advice), *store, runtime, _pytest(advice, best, form))]


def _calibrate(advice: Advice) -> list[str]:
    """Return the command that measures the speeds, if they may be others than those that were used."""
    device = [] if advice.device is None else [f"--device={advice.device}"]
    return [shlex.join(["edgeload", "calibrate", *device])] if advice.faults else []


def _runtime(best: ChoiceRun, memory_bytes: int, files: Mapping[str, str], function: Policy) -> str:
    """Return the call of the runtime. Its memory is for weights and activations, without that of the idle worker.

    It takes a policy of the user's own as a function.
    """
    choice = best.choice
    policy = json.dumps(choice.policy) if choice.policy in POLICIES else getattr(function, "__name__", choice.policy)
    networks = ", ".join(f"{json.dumps(name)}: {json.dumps(file)}" for name, file in files.items())
    memory = exact_size(max(1 << 20, memory_bytes >> 20 << 20))
    settings = f'policy={policy}, reader="{choice.reader}", threads={choice.threads}'
    return f'Runtime({{{networks}}}, memory="{memory}", {settings})'


def _pytest(advice: Advice, best: ChoiceRun, form: StoreForm) -> str:
    choice = best.choice
    policies = ",".join(dict.fromkeys([REFERENCE, *advice.tied[:1], choice.policy]))
    device = [] if advice.device is None else [f"--edge-device={advice.device}"]
    limit = [f"--edge-mem={exact_size(best.limit_bytes)}", f"--edge-policy={policies}"]
    forms = [f"--edge-reader={choice.reader}", f"--edge-threads={choice.threads}"]
    forms += [] if form == PLAIN else [f"--edge-store={form}"]
    return shlex.join(["pytest", *device, *limit, *forms, "--edge-rounds=3"])
