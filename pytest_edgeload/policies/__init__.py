"""Loading policies: the table of all built-in policies, one file each, and the checked plan of a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_edgeload.base.errors import UsageError, check_name
from pytest_edgeload.planning.check import check_plan
from pytest_edgeload.planning.plan import Budget, InvalidPlan, Plan, plain_plan
from pytest_edgeload.policies.bulk import bulk
from pytest_edgeload.policies.bulk_unchained import bulk_unchained
from pytest_edgeload.policies.deepeye import deepeye
from pytest_edgeload.policies.deepeye_frugal import deepeye_frugal
from pytest_edgeload.policies.deepeye_preload import deepeye_preload
from pytest_edgeload.policies.execprio import execprio
from pytest_edgeload.policies.execprio_inter import execprio_inter
from pytest_edgeload.policies.linear import linear
from pytest_edgeload.policies.lru import lru
from pytest_edgeload.policies.lru_layers import lru_layers
from pytest_edgeload.policies.masa import masa
from pytest_edgeload.policies.masa_hrrn import masa_hrrn
from pytest_edgeload.policies.mema import mema
from pytest_edgeload.policies.multi_bulk import multi_bulk
from pytest_edgeload.policies.parameters import Family as Family
from pytest_edgeload.policies.parameters import Policy as Policy
from pytest_edgeload.policies.parameters import PolicyTable as PolicyTable
from pytest_edgeload.policies.partial import partial
from pytest_edgeload.policies.pin import pin
from pytest_edgeload.policies.sjf import sjf
from pytest_edgeload.policies.stream import stream
from pytest_edgeload.policies.ttl import ttl
from pytest_edgeload.workload import Workload

FAMILIES: Mapping[str, Family] = {"ttl": ttl, "pin": pin}
"""The built-in policies that need parameters, by the name before the parentheses."""

_BUILT_IN: Mapping[str, Policy] = {
    "bulk": bulk,
    "bulk-unchained": bulk_unchained,
    "multi-bulk": multi_bulk,
    "linear": linear,
    "partial": partial,
    "execprio": execprio,
    "execprio-inter": execprio_inter,
    "deepeye": deepeye,
    "deepeye-preload": deepeye_preload,
    "deepeye-frugal": deepeye_frugal,
    "sjf": sjf,
    "masa": masa,
    "masa-hrrn": masa_hrrn,
    "mema": mema,
    "lru": lru,
    "lru-layers": lru_layers,
    "stream": stream,
}

POLICIES: Mapping[str, Policy] = PolicyTable(_BUILT_IN, FAMILIES)
"""All built-in policies by name. It lists none with parameters, but `POLICIES["ttl(30s)"]` is one."""

_BY_TIME = {"sjf", "masa", "mema", "ttl"}

BY_ORDER = frozenset({*_BUILT_IN, *FAMILIES} - _BY_TIME)
"""The policies and families whose plans depend on the order of arrivals only, not on times, without deadlines."""


def known_policies(call_hook: Callable[[Callable[[str, Policy], None]], object]) -> PolicyTable:
    """Return the built-in policies and those that `call_hook` registers with the function that it is given.

    Raises UsageError if a name is registered for two policies.
    """
    known = PolicyTable(POLICIES, FAMILIES)

    def register(name: str, policy: Policy) -> None:
        check_name("policy", name)
        if not callable(policy):
            raise UsageError(f"policy {name}", f"{policy!r} is not a function", "register the function itself")
        if known.setdefault(name, policy) is not policy:
            raise UsageError(f"policy {name}", "registered twice", "give the second another name")

    call_hook(register)
    return known


def make_plan(name: str, policy: Policy, workload: Workload, budget: Budget) -> Plan:
    """Return the plan of `policy`. Raises InvalidPlan with the name of the policy if the plan fails the check."""
    returned = policy(workload, budget)
    try:
        plan = plain_plan(returned)
        check_plan(plan, workload)
    except InvalidPlan as error:
        subject = f"policy {name}, {error.subject}" if error.reason and error.subject else f"policy {name}"
        raise error.about(subject) from None
    return plan
