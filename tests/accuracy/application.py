"""Measures what the server of docs/application.md costs without the runtime: `python -m tests.accuracy.application`.

The server is the page's own, with three networks of the study. The others keep their modules, map their files, or load
a module for each request.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import torch

from pytest_edgeload.base.functions import import_function
from tests.docs.pages import ROOT, blocks_of

FACTORIES: Final = {
    "faces": "models.caffenet:face_net",
    "scenes": "models.caffenet:scene_net",
    "emotions": "models.vgg:emotion_net",
}
_EDGELOAD: Final = Path(sys.executable).with_name("edgeload")
LIMIT: Final = "512M"
OTHERS: Final = {
    "kept": "modules = {name: load(name, mmap=False) for name in NAMES}\nask = lambda name, x: [modules[name](x)]",
    "mapped": "modules = {name: load(name, mmap=True) for name in NAMES}\nask = lambda name, x: [modules[name](x)]",
    "loaded": "ask = lambda name, x: [load(name, mmap=False)(x)]",
}
"""The programs without the runtime, by how they have their modules."""

OTHER: Final = """\
import sys, torch
from front import NAMES, serve
torch.set_num_threads(2)

def load(name, mmap):
    return torch.load(f"models/{name}.pt", weights_only=False, mmap=mmap)

{ask}

def answer(name, x):
    with torch.no_grad():
        return ask(name, x)

serve(answer, int(sys.argv[1]))
"""

CLIENT: Final = """\
import io, json, statistics, sys, time, urllib.request
import numpy
times = []
for _ in range(5):
    for name in ("faces", "scenes", "emotions"):
        image = io.BytesIO()
        numpy.save(image, numpy.load(f"{name}.npy"))
        begin = time.perf_counter()
        urllib.request.urlopen(sys.argv[1] + name, image.getvalue(), timeout=100).read()
        times.append(time.perf_counter() - begin)
print(json.dumps({"median": statistics.median(times), "worst": max(times)}))
"""


def _write(folder: Path) -> None:
    """Write the page's server, the others, the client, and all networks in both forms."""
    for block in blocks_of(ROOT / "docs" / "application.md"):
        if block.file in {"front.py", "server.py"}:
            (folder / block.file).write_text(block.text)
    for name, ask in OTHERS.items():
        (folder / f"{name}.py").write_text(OTHER.replace("{ask}", ask))
    (folder / "client.py").write_text(CLIENT)
    (folder / "models").mkdir()
    for name, factory in FACTORIES.items():
        output = folder / "models" / f"{name}.edgenet"
        subprocess.run([_EDGELOAD, "store", factory, "-o", output], cwd=ROOT, check=True)
        module, samples = import_function(factory)()
        torch.save(module, output.with_suffix(".pt"))
        np.save(folder / f"{name}.npy", samples[0][0].numpy())


def _measure(folder: Path, limits: str, swap: str, *names: str) -> None:
    """Print the table of these programs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/"
    words = [f"--mem={limits}", f"--swap={swap}", "--rounds=1", "--timeout=300", f"--ready={url}"]
    words += [
        f"--ask={sys.executable} client.py {url}",
        "--metric=median_answer:s=$.median",
        "--metric=worst_answer:s=$.worst",
    ]
    words += [f"--cold=models/{file.name}" for file in sorted((folder / "models").iterdir())]
    words += ["--columns=startup,median_answer,worst_answer,peak_anon,peak_file,swap_in,read"]
    words += [f"--name={name}" for name in names]
    for name in names:
        words += ["--", sys.executable, f"{name}.py", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # in which the modules can be unpickled
    subprocess.run([_EDGELOAD, "run", *words], cwd=folder, check=False, env=environment)


def main() -> None:
    """Print a table without swap, and one with it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # a disk, because /tmp may be memory
        folder = Path(name)
        folder.chmod(0o755)  # the programs run as nobody
        _write(folder)
        _measure(folder, f"{LIMIT},none", "off", "server", *OTHERS)
        _measure(folder, LIMIT, "1G", "kept")


if __name__ == "__main__":
    main()
