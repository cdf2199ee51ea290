"""The machine: who uses its cores while something is measured."""
import os
import resource
import time

QUIET = 0.1  # share of one core that others may take in a run


class Others:
    """What others take of all cores, from its making on.

    Not others are process |pid|, if any, and all children that have been
    waited for meanwhile.
    """

    def __init__(self, pid=None):
        self.pid = pid
        self.from_busy, self.from_time = machine_busy()
        self.from_own = used(pid)

    def share(self):
        """In parts of one core."""
        busy, now = machine_busy()
        taken = busy - self.from_busy - (used(self.pid) - self.from_own)
        return max(0.0, taken) / (now - self.from_time)


def used(pid):
    """CPU seconds of a process and of all children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    if pid is not None:
        with open(f"/proc/{pid}/stat") as f:
            ticks = sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    return (ticks / os.sysconf("SC_CLK_TCK") + children.ru_utime
            + children.ru_stime)


def machine_busy():
    """CPU seconds that are not idle, of all cores, and the time."""
    with open("/proc/stat") as f:
        ticks = list(map(int, f.readline().split()[1:9]))
    busy = sum(ticks) - ticks[3] - ticks[4]
    return busy / os.sysconf("SC_CLK_TCK"), time.monotonic()
