"""A process that publishes, and dies by SIGKILL just before the nth occurrence of a step.

Run by test_crash.py: HOME LEDGER_URL STEP NTH ENVELOPE… (files); witnesses as NAME=URL.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from zhixin_ledger.client import LedgerClient, WitnessUrl


def main() -> None:
    home, url, step, nth, *rest = sys.argv[1:]
    witnesses = [WitnessUrl(*item.split("=", 1)) for item in rest if "=" in item]
    envelopes = [Path(item) for item in rest if "=" not in item]
    left = int(nth)

    def hook(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    client = LedgerClient.open(
        Path(home) / "ledger",
        url,
        witnesses,
        lambda: datetime(2026, 1, 31, 9, 0, tzinfo=UTC),
        hook=hook,
    )
    for path in envelopes:
        index = client.submit(path.read_bytes())
        client.receipt(index)
        sys.stdout.write(f"{index}\n")
        sys.stdout.flush()
    client.close()


if __name__ == "__main__":
    main()
