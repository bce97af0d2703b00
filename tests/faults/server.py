"""The log's server of a world, over HTTP on a free port, with its witnesses asked in process.

python tests/faults/server.py ROOT
"""

from __future__ import annotations

import sys
from pathlib import Path

import world
from zhixin_ledger.embedded import Engine
from zhixin_ledger.http.log_app import LogOptions, LogService, make_log_app
from zhixin_ledger.http.serving import serve
from zhixin_ledger.tiles import DirectorySource
from zhixin_ledger.transport import FileWitness, Means


def main() -> None:
    root = Path(sys.argv[1])
    log, means = root / world.OPERATOR / "log", Means(world.clock, world.load_key)
    engine = Engine(log, world.signer(world.OPERATOR, "log"), clock=world.clock, hold=True)
    source = DirectorySource(log)
    witnesses = [FileWitness(name, root / name, source, means) for name in world.NAMES]
    service = LogService(engine, witnesses, LogOptions(interval_s=0.05))
    serve(make_log_app(service))
    engine.close()


if __name__ == "__main__":
    main()
