"""The dispatcher hands out every task once, when it may run, in the order the plan asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.dispatch import Dispatcher
from pytest_edgeload.plan import Plan, Task


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan of any shape that has no cycle."""
    after = [draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else [] for i in range(draw(st.integers(0, 12)))]
    tasks = tuple(Task("init", i, None, tuple(awaited)) for i, awaited in enumerate(after))
    return Plan(tasks, draw(st.integers(1, 3)), draw(st.sampled_from(["created", "ready"])))


def _carry_out(plan: Plan, choices: list[int]) -> list[int]:
    """Carry out `plan`, ending a running task chosen by `choices`; check each answer against a plain list of tasks."""
    dispatcher = Dispatcher(plan)
    queue = [i for i, task in enumerate(plan.tasks) if not task.after]  # ready tasks, first come first
    running: list[int] = []
    taken: list[int] = []
    ended: set[int] = set()
    turn = 0
    while not dispatcher.finished:
        while len(running) < plan.lanes and (index := dispatcher.take()) is not None:
            assert index == (min(queue) if plan.order == "created" else queue[0])
            queue.remove(index)
            running.append(index)
            taken.append(index)
        assert not queue or len(running) == plan.lanes
        index = running.pop(choices[turn % len(choices)] % len(running))
        turn += 1
        ended.add(index)
        waited_for_it = [i for i, task in enumerate(plan.tasks) if index in task.after and ended.issuperset(task.after)]
        assert sorted(dispatcher.end(index)) == waited_for_it
        queue += waited_for_it  # of those that became ready together the first created comes first
    assert dispatcher.take() is None
    assert ended == set(range(len(plan.tasks)))
    return taken


@given(plans(), st.lists(st.integers(0), min_size=1, max_size=8))
def test_every_task_once_in_order(plan: Plan, choices: list[int]) -> None:
    """Each task is taken once, after all it waits for: the first created, or the first that became ready."""
    taken = _carry_out(plan, choices)
    assert sorted(taken) == list(range(len(plan.tasks)))


@given(plans(), st.lists(st.integers(0), min_size=1, max_size=8))
def test_the_same_ends_give_the_same_order(plan: Plan, choices: list[int]) -> None:
    """A plan whose tasks end in the same order is dispatched in the same order."""
    assert _carry_out(plan, choices) == _carry_out(plan, choices)


def test_orders_differ() -> None:
    """Of a task created first and one ready first, `created` takes the former and `ready` the latter."""
    tasks = (Task("init", 0), Task("init", 1, None, (0,)), Task("init", 2))
    for order, second in (("created", 1), ("ready", 2)):
        dispatcher = Dispatcher(Plan(tasks, 1, order))  # type: ignore[arg-type]  # a literal, but not to mypy
        assert dispatcher.take() == 0
        assert dispatcher.end(0) == [1]
        assert dispatcher.take() == second


def test_a_taken_task_is_not_offered_again() -> None:
    """While a task runs it is not taken, and what waits for it is not either."""
    dispatcher = Dispatcher(Plan((Task("init", 0), Task("init", 1, None, (0,)))))
    assert (dispatcher.take(), dispatcher.take()) == (0, None)
    assert not dispatcher.finished
