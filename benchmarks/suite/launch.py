"""Runs one command and tells what it took: `python -I -S launch.py LOG COMMAND …`, JSON out.

A process of its own and a lean one, because Linux counts the memory of whoever starts a command
into that command's peak.
"""

import json
import os
import sys
import time

log = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
streams = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_DUP2, log, 1),
    (os.POSIX_SPAWN_DUP2, log, 2),
]
began = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=streams)
_, status, used = os.wait4(pid, 0)
seconds = time.perf_counter() - began
told = {
    "process_s": seconds,
    "process_cpu_s": used.ru_utime + used.ru_stime,
    "process_peak_mb": used.ru_maxrss / 1000,
}
print(json.dumps(told))
sys.exit(os.waitstatus_to_exitcode(status) != 0)
