"""Measures what compressed weights gain in a runtime whose reads are slow: `python -m tests.accuracy.runtime_forms`.

Each network is a file of `edgeload store` in both forms, and is asked by processes whose reads the kernel limits. The
first answer reads all weights; `outputs` is the same number if the outputs are the same, bit by bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import torch

from models import DECODERS, NETWORKS
from pytest_edgeload.base.functions import import_function
from pytest_edgeload.networks.compressed import STORES
from pytest_edgeload.networks.inputs import Inputs
from pytest_edgeload.networks.verified import verify_once
from tests.docs.pages import ROOT

NAMES: Final = ("emotion_net", "smol_360m_bf16")
"""A network with weights of float32, and one with weights of bfloat16."""

_EDGELOAD: Final = Path(sys.executable).with_name("edgeload")

PROGRAM: Final = """\
import json, sys, time, zlib
import torch
from pytest_edgeload.runtime import Runtime

name, form = sys.argv[1:]
args, kwargs = torch.load(f"{name}.pt")
files = {name: f"{name}-{form}.edgenet"}
with Runtime(files, memory="256M", policy="stream", reader="direct", threads=2) as runtime:
    begin = time.perf_counter()
    outputs = runtime.ask(name, *args, **kwargs)
    seconds = time.perf_counter() - begin
numbers = b"".join(each.contiguous().view(torch.uint8).numpy().tobytes() for each in outputs)
print(json.dumps({"answer": seconds, "outputs": zlib.crc32(numbers)}))
"""


def _write(folder: Path) -> None:
    """Write the program, and each network in both forms with the inputs of its first sample."""
    (folder / "ask.py").write_text(PROGRAM)
    for name in NAMES:
        sample = import_function((NETWORKS | DECODERS)[name])()[1][0]
        given = (sample.args, sample.kwargs) if isinstance(sample, Inputs) else (sample, {})
        torch.save(given, folder / f"{name}.pt")
        for form in STORES:
            file = folder / f"{name}-{form}.edgenet"
            subprocess.run([_EDGELOAD, "store", name, f"--store={form}", "-o", file], cwd=ROOT, check=True)
            verify_once(file, folder / "cache" / "edgeload")  # otherwise each process would read it once more


def main(read_bw: str = "43M", rounds: str = "2") -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as temporary:  # a disk, because /tmp may be memory
        folder = Path(temporary)
        folder.chmod(0o755)  # the programs run as nobody
        _write(folder)
        (folder / "edge-devices.toml").write_text(f'[slow]\nmemory = "4G"\nread = "{read_bw}"\n')
        words = ["--device=slow", "--mem=none", f"--rounds={rounds}", "--columns=answer,outputs,read,peak_anon"]
        words += ["--metric=answer:s=$.answer", "--metric=outputs=$.outputs"]
        words += [f"--cold={file}" for file in folder.glob("*.edgenet")]
        asks = [(name, form) for name in NAMES for form in STORES]
        words += [f"--name={name}-{form}" for name, form in asks]
        for name, form in asks:
            words += ["--", sys.executable, "ask.py", name, form]
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        subprocess.run([_EDGELOAD, "run", *words], cwd=folder, check=False, env=environment)


if __name__ == "__main__":
    main(*sys.argv[1:])
