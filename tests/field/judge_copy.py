"""What one member's own copy of the ledger says: run as a process in that member's environment.

python tests/field/judge_copy.py HOME ENVELOPES.json → entries, seals, state root, refusals' names
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

from zhixin_errors import LedgerRefused
from zhixin_gateway.home import Home
from zhixin_ledger import admission
from zhixin_ledger.seal import is_seal


def name_of(state, data: bytes) -> str:
    """The rule by which this copy refuses an envelope."""
    try:
        admission.admit(state, data)
    except LedgerRefused as refusal:
        return refusal.code
    return ""


def main() -> None:
    home, envelopes = Home.open(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    with home.ledger_client() as client:
        state = client.state()
        entries = [entry for _, entry in client.entries()]
        told = {
            "entries": hashlib.sha256(
                b"".join(map(b"%d:%s".__mod__, enumerate(entries)))
            ).hexdigest(),
            "size": len(entries),
            "seals": [hashlib.sha256(entry).hexdigest() for entry in entries if is_seal(entry)],
            "root": state.root.hex(),
            "state": state.state_root().hex(),
            "refusals": [name_of(state, base64.b64decode(data)) for data in envelopes],
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
