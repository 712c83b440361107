"""`edgeload calibrate`: the stored speeds are shown, and missing or stale ones are named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pytest_edgeload.cli import main
from pytest_edgeload.measuring.speeds.store import origin_now, speeds_file, store_speeds
from pytest_edgeload.planning.machine_speeds import MachineSpeeds
from pytest_edgeload.results.stored_speeds import StoredSpeeds


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache in which this machine is calibrated."""
    monkeypatch.setenv("PYTEST_EDGE_CACHE_DIR", str(tmp_path))
    store_speeds(tmp_path, origin_now(tmp_path), MachineSpeeds(write_bytes_per_s=123 << 20))
    return tmp_path


def test_stored_speeds_are_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text has each figure, and JSON is the stored file."""
    assert main(["calibrate", "--show"]) == 0
    assert "123M/s" in capsys.readouterr().out
    assert main(["calibrate", "--show", "--json"]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out, type=StoredSpeeds)
    assert shown.speeds == MachineSpeeds(write_bytes_per_s=123 << 20)


def test_stale_speeds_are_named(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line has the reason, and the status is 1."""
    now = origin_now(cache)
    store_speeds(cache, msgspec.structs.replace(now, version="0.0.1"), MachineSpeeds())
    assert main(["calibrate", "--show"]) == 1
    reason = f"measured with pytest-edgeload 0.0.1; now it is pytest-edgeload {now.version}"
    assert capsys.readouterr().out.splitlines()[-1] == f"stale: {reason}"


def test_missing_speeds_are_an_error(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A device that was not calibrated, and an unknown one, are named with the way out."""
    assert main(["calibrate", "--show", "--device=rpi4-2g"]) == 2
    way_out = "leave it out to measure the speeds"
    assert capsys.readouterr().err == f"edgeload: --show: device rpi4-2g is not calibrated; {way_out}\n"
    assert main(["calibrate", "--device=rpi4"]) == 2
    assert capsys.readouterr().err.startswith("edgeload: --device=rpi4: no such device; ")


def test_cache_lists_calibrated_machines(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a line with the age of its speeds."""
    assert main(["cache"]) == 0
    key = speeds_file(cache, origin_now(cache)).stem
    assert capsys.readouterr().out == f"no networks in {cache}\n\nspeeds of {key}: just now\n"
