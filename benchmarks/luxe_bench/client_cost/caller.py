"""One way of calling, in a process of its own: `python -m luxe_bench.client_cost.caller WAY ADDRESS MODEL`.

It takes texts and answers with their labels, and with what this process used: user and system time of all its threads.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from luxe_bench.client_cost.ways import WAYS
from luxe_bench.cost.worker import say

__all__ = ["main"]


def main() -> None:
    """Answer every line of standard input."""
    name, address, model = sys.argv[1:]
    way = WAYS[name](address, model)
    say({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        cpu_s, wall_s = _cpu_s(), time.perf_counter()
        labels = way.go(job["texts"], callers=job["callers"], batch=job["batch"])
        cpu_s, wall_s = _cpu_s() - cpu_s, time.perf_counter() - wall_s
        say({"labels": labels, "cpu_s": cpu_s, "wall_s": wall_s})


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
