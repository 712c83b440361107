"""A child process that obeys commands, one per line: its handle, and, run as a program, the child itself."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

MIB = 1 << 20


class Child:
    """Starts behind the command prefix `enter` and lives until the command to end, or the end of the context."""

    def __init__(self, *enter: str, program: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [*enter, program, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def do(self, word: str, argument: object = "") -> str:
        """Have one of the functions below called; return its answer, or nothing if the child died of it."""
        assert self.process.stdin is not None  # both are pipes
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{word} {argument}\n")
            self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        """Let the child end by itself; return its exit status."""
        self._hang_up()
        return self.process.wait(100)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._hang_up()
        self.process.wait()

    def _hang_up(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


_HELD: list[mmap.mmap] = []


def touch(size: str) -> str:
    """Take memory and write to each of its pages, one page fault a page."""
    memory = mmap.mmap(-1, int(size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages refuses to do without them
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    _HELD.append(memory)
    return "touched"


def again(_: str) -> str:
    """Read every page again."""
    intact = all(memory[page] == 1 for memory in _HELD for page in range(0, len(memory), mmap.PAGESIZE))
    return "intact" if intact else "lost"


def free(_: str) -> str:
    """Free all memory."""
    _HELD.clear()
    return "freed"


def read(path: str) -> str:
    """Read a file whole, a bit at a time."""
    with Path(path).open("rb", buffering=0) as file:
        while file.read(MIB):
            pass
    return "read"


def direct(path: str) -> str:
    """Read a file whole past the page cache, in two threads, 4 MiB at a time."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    half = os.fstat(fd).st_size // 2

    def read_half(start: int) -> None:
        with mmap.mmap(-1, 4 * MIB) as memory:
            for offset in range(start, start + half, len(memory)):
                os.preadv(fd, [memory], offset)

    with ThreadPoolExecutor() as threads:
        list(threads.map(read_half, [0, half]))
    return "read"


def write(path: str) -> str:
    """Write 16 MiB to a new file past the page cache, 1 MiB at a time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    with mmap.mmap(-1, MIB) as memory:
        for offset in range(0, 16 * MIB, MIB):
            os.pwrite(fd, memory, offset)
    return "written"


def look(path: str) -> str:
    """Map a file and look at each of its pages."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        memory.madvise(mmap.MADV_RANDOM)  # no read-ahead
        return str(sum(memory[page] for page in range(0, len(memory), mmap.PAGESIZE)))


def burn(seconds: str) -> str:
    """Spend processor time."""
    end = time.process_time() + float(seconds)
    while time.process_time() < end:
        pass
    return "burnt"


def fork(count: str) -> str:
    """Start that many processes, each with one more, in sessions of their own, that ignore being asked to end."""
    here, there = os.pipe()
    for _ in range(int(count)):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.fork()
            os.write(there, f"{os.getpid()} ".encode())
            while True:
                signal.pause()
    pids = b""
    while pids.count(b" ") < 2 * int(count):
        pids += os.read(here, 4096)
    return pids.decode()


_DO: dict[str, Callable[[str], str]] = {
    f.__name__: f for f in (touch, again, free, read, direct, write, look, burn, fork)
}

if __name__ == "__main__":
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        sys.stdout.write(_DO[word](argument) + "\n")
        sys.stdout.flush()
