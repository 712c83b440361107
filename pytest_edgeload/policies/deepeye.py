"""`deepeye`: execute convolutions on one lane while fully connected layers load on the other.

Source: DeepEye (MobiSys 2017), as in the 2020 study. Lane 0: init -> l_0 -> e_0 -> f_0 -> l_1 ... through the
convolutional side. Lane 1: the loads of the fully connected side, chained from init, and its execs; the first of these
execs waits for the last exec of the convolutional side. Nothing between requests. It wins if networks have long
convolutions and large fully connected layers, and there is memory for the latter.
"""

from __future__ import annotations

from pytest_edgeload.planning.plan import STAGES, Budget, Builder, Plan
from pytest_edgeload.policies.parts import CONNECTED, CONVOLUTIONAL
from pytest_edgeload.workload import Workload


def deepeye(workload: Workload, budget: Budget) -> Plan:
    """Per network: convolutional layers one by one on lane 0, the others loaded ahead and executed on lane 1."""
    plan = Builder(workload, lanes=2)
    for r, request in enumerate(workload.requests):
        side, count = request.network.convolutional_layers, len(request.network.layers)
        init = step = plan.add("init", r, lane=CONVOLUTIONAL)
        with plan.loop(request.steps):
            for i in range(side):
                for kind in STAGES:
                    step = plan.add(kind, r, i, after=step, lane=CONVOLUTIONAL)
                    if kind == "exec":
                        last_convolution = step
            loads, load = [], init
            for i in range(side, count):
                load = plan.add("load", r, i, after=load, lane=CONNECTED)
                loads.append(load)
            step = last_convolution if side else init
            for i, load in enumerate(loads, side):
                step = plan.add("exec", r, i, after=(step, load), lane=CONNECTED)
                plan.add("free", r, i, after=step, lane=CONNECTED)
    return plan.done()
