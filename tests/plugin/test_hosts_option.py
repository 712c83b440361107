"""The option for hosts, before any host is reached."""

from __future__ import annotations

import pytest

pytest.importorskip("xdist")


def test_empty_value_takes_back_the_hosts_of_the_ini_file(bare: pytest.Pytester) -> None:
    """With an empty value the session measures here, whichever hosts the ini file names."""
    bare.makeini("[pytest]\nedge_hosts = boards.toml")
    bare.makepyfile("def test_here(edge_seed): pass")
    assert bare.runpytest("--edge-hosts=", "--edge-disable").ret == 0
    bare.runpytest().stderr.fnmatch_lines(["ERROR: *boards.toml: No such file or directory*"])


def test_session_outside_of_the_project_is_refused(bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the project travels, so a session that starts elsewhere has no folder on a host."""
    project, elsewhere = bare.mkdir("project"), bare.mkdir("elsewhere")
    project.joinpath("boards.toml").write_text('[pi4]\nssh = "pi4"\n')
    monkeypatch.chdir(elsewhere)
    ended = bare.runpytest(f"--rootdir={project}", f"--edge-hosts={project / 'boards.toml'}", project)
    sentence = f"ERROR: {elsewhere}: outside of the project in {project}, which travels to the hosts; start pytest in *"
    ended.stderr.fnmatch_lines([sentence])
