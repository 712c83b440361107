"""`edgeload store`, as a shell starts it, in a project of two small networks."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_edgeload.networks.folder import verify_network
from tests.cli.commands import Run


def test_networks_become_files(run: Run, source: Path, tmp_path: Path) -> None:
    """Registered networks become files of a folder, another command lists them, and none is replaced by accident."""
    done = run("store", "small", "wide", "--output", str(tmp_path))
    files = [tmp_path / f"{name}.edgenet" for name in ("small", "wide")]
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.rpartition(" (")[0] for line in done.stdout.splitlines()] == [
        f"stored {file.stem} in {file}" for file in files
    ]
    assert [verify_network(file).name for file in files] == ["small", "wide"]
    (source / "copy.edgenet").symlink_to(files[1])
    listed = run("store", "--show", str(files[0]), "copy.edgenet").stdout.splitlines()
    assert listed[0].split() == [
        "file",
        "network",
        "layers",
        "weights",
        "types",
        "compressed",
        "to",
        "samples",
        "steps",
    ]
    assert listed[2].split() == [str(files[0]), "small", "2", "4.0M", "float32", "2", "1"]
    assert listed[3].split() == ["copy.edgenet", "wide", "2", "29.0M", "float32", "2", "1"]
    (source / "copy.edgenet").unlink()

    before = files[0].read_bytes()
    again = run("store", "wide", "-o", str(files[0]))
    reason = "exists already; replace it with --force, or name another file"
    assert (again.returncode, again.stderr) == (2, f"edgeload: {files[0]}: {reason}\n")
    assert files[0].read_bytes() == before
    forced = run("store", "wide", "--force", "-o", str(files[0]))
    assert forced.returncode == 0, forced.stderr
    assert files[0].read_bytes() == files[1].read_bytes()


def test_compressed_file_says_how_much_it_saves(run: Run, tmp_path: Path) -> None:
    """The sentence and the list show the share of the bytes that the weights still have."""
    done = run("store", "small", "--store=compressed", "-o", str(tmp_path))
    file = tmp_path / "small.edgenet"
    found = re.fullmatch(rf"stored small in {file} \(3.\dM, weights at (8\d)% of their size\)\n", done.stdout)
    assert found is not None, done
    listed = run("store", "--show", str(file)).stdout.splitlines()
    assert listed[2].split()[1:] == ["small", "2", "4.0M", "float32", f"{found[1]}%", "2", "1"]


def test_network_without_weights_is_stored_in_each_form(run: Run, tmp_path: Path) -> None:
    """There is no share of weights to show."""
    (tmp_path / "bare.py").write_text(
        "import torch\n\n\ndef bare():\n    return torch.nn.ReLU(), [(torch.rand(1, 3),)]\n"
    )
    for form in ("plain", "compressed"):
        done = run("store", "bare:bare", "--force", f"--store={form}", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"stored bare in bare.edgenet \([^,]*\)\n", done.stdout), done


def test_function_needs_no_registration(run: Run, source: Path, tmp_path: Path) -> None:
    """Without a conftest.py, a network is a function; several networks need a folder; a file has to be one of ours."""
    (tmp_path / "tiny.py").write_text((source / "tiny.py").read_text())
    done = run("store", "tiny:small", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert verify_network(tmp_path / "small.edgenet").name == "small"
    assert run("store", "tiny:small", "-o", "new/models/", folder=tmp_path).returncode == 0
    assert verify_network(tmp_path / "new" / "models" / "small.edgenet").name == "small"
    for arguments, message in {
        ("small",): "network 'small': no conftest.py here registers networks; write it as module:function",
        ("tiny:small", "tiny:wide", "-o", "a.edgenet"):
            "a.edgenet: each network is a file of its own; name a folder, such as models/",
        ("tiny:small", "-o", "small.edgenet/a/"): "small.edgenet/a/: Not a directory; name another folder",
        ("tiny:small", "-o", "tiny.py/"): "tiny.py/: Not a directory; name another folder",
        ("tiny:small", "tiny:wide", "-o", "tiny.py"): "tiny.py: Not a directory; name another folder",
        ("--show", "tiny.py"): "tiny.py: not an .edgenet file; name a file that edgeload store has written",
    }.items():  # fmt: skip
        refused = run("store", *arguments, folder=tmp_path)
        assert (refused.returncode, refused.stderr) == (2, f"edgeload: {message}\n")
    unknown = run("store", "smal")
    assert unknown.stderr == "edgeload: network 'smal': not registered; did you mean small?\n"
