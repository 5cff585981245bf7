"""Processes that end with the process that started them (Linux; elsewhere nothing is tied)."""

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "TETHER_PARENT_PID"
PR_SET_PDEATHSIG = 1


def tie_process_tree() -> None:
    """Kill this process when its parent ends, and every process it forks when this one ends.

    The parent names itself in the environment (see `processes.Child`). A process started by hand
    has no such name and is not tied; what it forks is.
    """
    if sys.platform != "linux":
        return
    tether = _Tether()
    if parent := os.environ.pop(PARENT_VARIABLE, ""):
        tether.tie_to(int(parent))
    os.register_at_fork(after_in_child=tether.tie_to_forker)


class _Tether:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.prctl = ctypes.CDLL(None).prctl

    def tie_to_forker(self) -> None:
        parent, self.pid = self.pid, os.getpid()
        self.tie_to(parent)

    def tie_to(self, parent: int) -> None:
        self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the line above: then no signal will ever come.
        if os.getppid() != parent:
            os._exit(1)
