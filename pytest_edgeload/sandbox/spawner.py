"""A program that starts a command as a child of its own parent, and ends.

The kernel's high-water mark of a process begins with the memory of the process that started it. If pytest started
programs itself, its own size would be part of their peaks; this program is small, and its size is always the same.

Its arguments are two descriptors: one for the task and one for the answer. The task is the program, the number of
words of its command, these words, and the names and values of its environment, joined by null characters. The answer is
a line with the process id of the command, the size of our parent in KiB if it is part of the mark after all, and the
start in nanoseconds of the monotonic clock. A second line is the errno of a command that could not be started.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time

_CLONE_PARENT = 0x8000  # see clone(2)
_SYSCALLS = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
_SYSCALL_OF_32_BITS = 120
_FAILED = 127


def main(task: int, answer: int) -> None:
    """Start the command that is read from `task`, and let it write to `answer`."""
    with open(task, "rb") as file:
        program, count, *words = file.read().split(b"\0")
    command, env = words[: int(count)], words[int(count) :]
    os.set_inheritable(answer, False)  # noqa: FBT003  # takes no keywords
    pid = _fork_sibling()
    if pid > 0:
        os._exit(0)  # at once, because our parent waits for the end of the answer
    if pid == 0:
        os.setsid()  # this program leads a session already
    for number in signal.valid_signals():  # Python ignores two, workers of xdist another, and nohup one more
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    inherited_kib = 0 if pid == 0 else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    os.write(answer, b"%d %d %d\n" % (os.getpid(), inherited_kib, time.monotonic_ns()))
    try:
        os.execve(program, command, dict(zip(env[::2], env[1::2], strict=True)))  # noqa: S606  # no shell is wanted
    except OSError as error:
        os.write(answer, b"%d\n" % (error.errno or 0))
    os._exit(_FAILED)


def _fork_sibling() -> int:
    """Fork a child of this process's parent: return its id here, and 0 there; -1 if the machine cannot."""
    try:
        import ctypes  # noqa: PLC0415  # some builds of Python lack it
    except ImportError:
        return -1
    number = _SYSCALLS.get(os.uname().machine) if sys.maxsize > 1 << 32 else _SYSCALL_OF_32_BITS
    if number is None:
        return -1
    word = ctypes.c_long
    return int(ctypes.CDLL(None).syscall(word(number), word(_CLONE_PARENT | signal.SIGCHLD), *map(word, (0, 0, 0, 0))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
