"""Models that tests create: exported in pytest's process, run like any network, and removed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.plugin.sessions import Begin, write

TEST: Final = """\
import torch
from torch import nn
from pytest_edgeload import Inputs

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(4, width), nn.Dropout(), nn.Linear(width, 2)

    def forward(self, x, *, scale=None, flag=True):
        x = self.second(self.drop(self.first(x)))
        return {"scaled": x if scale is None else x * scale, "nothing": None}

SAMPLE = Inputs((torch.rand(3, 4),), {"scale": torch.rand(2), "flag": False})

def test_module(edge, edge_network, edge_policy):
    module = Net()
    name = edge_network("../../live", module, SAMPLE)  # looks like a path, but is a name
    assert edge_network("../../live", module, SAMPLE) == name == "../../live"
    assert module.training and module.drop.training
    assert edge.run([name], policy=edge_policy).outcome == "ok"

def test_changed(edge, edge_network):
    module = nn.Linear(4, 2)
    edge_network("changed", module, (torch.rand(1, 4),))
    module.weight.data.mul_(2)
    edge_network("changed", module, (torch.ones(1, 4),))
    measured = edge.run(["changed"])
    assert measured.outcome == "ok", measured.detail

def test_program(edge, edge_network):
    program = torch.export.export(Net().eval(), SAMPLE.args, dict(SAMPLE.kwargs))
    assert edge.run([edge_network("program", program)]).outcome == "ok"
"""

REFUSED: Final = """\
import pytest
import torch
from torch import nn

def test_names(edge, edge_network):
    edge_network("net", nn.Linear(4, 2), (torch.rand(1, 4),))
    edge_network("net", nn.Linear(4, 2), (torch.rand(1, 4),))  # other weights, the same layers
    with pytest.raises(Exception, match="^network net: two models that differ have this name; give one of"):
        edge_network("net", nn.Linear(4, 3), (torch.rand(1, 4),))
    with pytest.raises(Exception, match="^network small: registered twice, as tiny:small and as a model of"):
        edge_network("small", nn.Linear(4, 3), (torch.rand(1, 4),))

def test_models(edge, edge_network):
    with pytest.raises(Exception, match="^network net2 could not be made: Linear: it has no samples; give a list"):
        edge_network("net2", nn.Linear(4, 3))
    with pytest.raises(Exception, match="^network net3 could not be made: Linear fails on sample 0, in plain "):
        edge_network("net3", nn.Linear(4, 3), (torch.rand(1, 5),))
"""


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_models_of_tests_run_and_leave_nothing(begin: Begin, project: Path, processes: str) -> None:
    """A module and a program run under policies, in one process and in several, and leave nothing on disk."""
    write(project, test_tiny=TEST)
    ended = begin(project, processes, "--edge-policy=linear", "-Werror", "--edge-json=out.json").end()
    assert ended.status == 0, ended.said
    assert sorted(record.case.workload for record in ended.records) == ["../../live", "changed", "program"]
    assert [m.outcome for m in ended.measurements] == ["ok"] * 3
    assert [path for entry in ended.running.on_disk for path in Path(entry.file).parents[1].glob("live-*")] == []


def test_wrong_model_is_refused_without_a_worker(begin: Begin, project: Path) -> None:
    """Two models with one name and models that cannot be exported are refused in a sentence, without a worker."""
    write(project, test_tiny=REFUSED)
    ended = begin(project, "--edge-disable").end()
    assert ended.status == 0, ended.said
