"""Cases: the coordinates of measurements."""

import re
from typing import Literal, Self

import msgspec

from pytest_edgeload.base.text import MAX_NAME_CHARACTERS
from pytest_edgeload.devices.constraints import Constraints, Shortfall
from pytest_edgeload.networks.compressed import PLAIN, StoreForm
from pytest_edgeload.workload import Ask

PROGRAM = "program"
"""The workload of measured functions and commands; those of one test are compared with each other by name."""

Visible = Literal["host", "limit"]
"""The memory that a program sees: that of the whole host, or its limit."""

HOST: Visible = "host"
LIMIT: Visible = "limit"
VIEWS: tuple[Visible, ...] = (HOST, LIMIT)

SIMULATED = "simulated"
"""The cap of a case that was carried out in virtual time: no kernel enforced anything, and nothing was measured."""

AUTO = "auto"
"""The name for the best reader of a policy."""

REFERENCE = "bulk"
"""The policy that the others of a group are compared with."""

PROGRAM_NAME = re.compile(r"[\w.-]{1,1000}")
"""The names of programs: those that a threshold can contain."""


def program_name(text: str) -> str:
    """Return `text` reduced to the characters of a program's name; `program` if none is left."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")[:MAX_NAME_CHARACTERS] or PROGRAM


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """The coordinates of a measurement, without its round.

    `test` is the id of the test with the test's own parameters, and `parameters` has these by name. `workload` is the
    name of the workload and `requests` its requests. `loop` and `arrivals` define when requests arrive, with random
    numbers from `seed` if there is one, and `conditions` how requests with a condition are treated. `clock` is the unit
    of arrivals and deadlines: `s`, or `service` for service times. For a function or command, `workload` is `program`,
    `policy` its name, and `reader` is `none`. `is_reader_auto` if `auto` chose the reader. `store` is the form in
    which the weights are stored.

    `limit` is the memory limit as an option, a test or a device gives it (`512M`, `base+256M`), None without one;
    `constraints` has its bytes and all other constraints. `cap` is the mechanism that enforced them, or `simulated`,
    and `swap` the swap that the process could use: `none`, `off`, or its size. `view` is the memory that it saw.
    `parallel`: whether runs of the case may overlap with others, on cores of their own; see `Measurement.sharing`.

    `host` names the machine if a session measured on several. `device` names the device, and after a merge also the
    machine. `by_device` lists the constraints, by field, that the
    device set and no option did; `unenforced` lists those that this machine did not enforce.
    """

    test: str
    workload: str
    policy: str
    reader: str
    is_reader_auto: bool = False
    store: StoreForm = PLAIN
    cap: str
    swap: str
    view: Visible = HOST
    parallel: bool = False
    limit: str | None = None
    constraints: Constraints = Constraints()
    host: str | None = None
    device: str | None = None
    requests: tuple[Ask, ...] = ()
    loop: str = "once"
    arrivals: str = ""
    seed: int | None = None
    conditions: str = "wait"
    clock: str = "s"
    parameters: tuple[tuple[str, str], ...] = ()
    by_device: tuple[str, ...] = ()
    unenforced: tuple[Shortfall, ...] = ()

    @property
    def given_reader(self) -> str:
        """The reader as an option or a test gives it, which may be `auto`."""
        return AUTO if self.is_reader_auto else self.reader

    @property
    def enforced(self) -> Constraints:
        """The constraints that are enforced, at least in part."""
        return self.constraints.without(each.constraint for each in self.unenforced if not each.available)

    def seen_as(self, view: Visible) -> Self:
        """Return the case of a program with this view. Without a limit that is enforced, it sees the host."""
        return msgspec.structs.replace(self, view=HOST if self.enforced.memory_bytes is None else view)

    @property
    def limit_bytes(self) -> int | None:
        """The bytes of `limit`."""
        return self.constraints.memory_bytes

    @property
    def threads(self) -> int:
        """The threads that an operator may use."""
        return self.constraints.threads or 1

    @property
    def is_program(self) -> bool:
        """Whether a function or a command was measured, not networks."""
        return self.workload == PROGRAM

    @property
    def is_simulated(self) -> bool:
        """Whether the case was carried out in virtual time."""
        return self.cap == SIMULATED

    @property
    def group(self) -> Self:
        """The same case without its policy; cases with the same group are compared with each other.

        A reader that was chosen for the policy is `auto`, so policies are compared with the best reader of each.
        """
        return msgspec.structs.replace(self, policy="", reader=self.given_reader)

    @property
    def place(self) -> str:
        """The limit, the device, the host and the view in words: `at 768M on rpi3`, `at 512M, view limit`."""
        view = "" if self.view == HOST else f", view {self.view}"
        view += ", in parallel" if self.parallel else ""
        form = "".join(f", {words}" for words in (self.form, self.simulated) if words)
        device = "" if self.device is None else f" on {self.device}"
        host = "" if self.host is None else f" on host {self.host}"
        return f"at {self.limit or 'no limit'}{device}{host}{view}{form}"

    @property
    def form(self) -> str:
        """The form of the weights in words: `compressed weights`; empty if they are plain."""
        return "" if self.store == PLAIN else f"{self.store} weights"

    @property
    def simulated(self) -> str:
        """The word `simulated` for a case that was carried out in virtual time; otherwise empty."""
        return SIMULATED if self.is_simulated else ""

    @property
    def title(self) -> str:
        """The case in words: `linear, lenet at 512M`, or for a program `llama-cli at 512M`."""
        return f"{self.policy if self.is_program else f'{self.policy}, {self.workload}'} {self.place}"

    @property
    def main_metric(self) -> str:
        """The metric that cases are compared by: the makespan, or the mean response time if requests keep arriving.

        Streams with deadlines are compared by their share in time, because a response time is that of answers only: it
        would be best if all requests were dropped but the quickest. The requests of a closed loop of one batch are all
        there at once.
        """
        if any(ask.stream and ask.deadline_s is not None for ask in self.requests):
            return "in_time"
        is_once = self.loop == "once" or (self.loop == "closed" and len({ask.batch for ask in self.requests}) == 1)
        return "makespan_s" if is_once else "response_mean_s"

    @property
    def memory_metric(self) -> str:
        """The metric for the memory that a case needs.

        A program's is without the files that it maps, because the kernel can drop them, and they fill any limit.
        """
        return "peak_anon_bytes" if self.is_program else "peak_bytes"
