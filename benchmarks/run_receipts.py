"""How many receipts one core verifies a second: a version's statement, receipt and pinned trust.

    .venv/bin/python benchmarks/run_receipts.py [--receipts 2000]

Each is read from its bytes, as a file brings it, and judged as the gate judges it: six signatures
(the log's, four members' cosignatures, the statement's), the quorum, and the path to the root in
a ledger of a hundred thousand entries. The trust is read once. Beside it stands what the six
signatures alone take: what is left over is ours.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from zhixin_gateway.gate.checks import check_signature, parse_stated
from zhixin_gateway.gate.receipts import Clock, check_cosigned, check_included, check_log
from zhixin_ledger import checkpoint, cosignature, dsse, encoding, merkle, tlogproof
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey, verify_ed25519
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.statements import dataset_statement
from zhixin_ledger.trust import Trust

RESULTS = Path(__file__).parent / "results" / "receipts.json"
ORIGIN = "ledger.gov.example/2026"
MEMBERS = ("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example")
SIZE = 100_000
SIGNATURES = 2 + len(MEMBERS)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--receipts", type=int, default=2_000)
    options.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    asked = options.parse_args()
    statement = [MemorySigner(bytes([at + 1]) * 32) for at in range(len(MEMBERS))]
    cosigners = [MemorySigner(bytes([at + 11]) * 32) for at in range(len(MEMBERS))]
    log = MemorySigner(b"\x77" * 32)
    entry = stated(statement[0])
    receipt, root = receipt_of(entry, log, cosigners)
    trust = Trust.parse(trust_of(statement, cosigners, log, root))
    judge(receipt, entry, trust)
    envelope = dsse.parse_envelope(entry)
    ((_, signature),) = envelope.signatures
    key = statement[0].public_key
    whole = rate(lambda: judge(receipt, entry, trust), asked.receipts)
    alone = rate(
        lambda: [verify_ed25519(key, envelope.signed, signature) for _ in range(SIGNATURES)],
        asked.receipts,
    )
    figures = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "signatures": SIGNATURES,
        "receipts_per_second": whole,
        "six_signatures_alone_per_second": alone,
        "share_of_the_signatures": whole / alone,
    }
    asked.results.parent.mkdir(exist_ok=True)
    asked.results.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        print(f"{name:34}{value if not isinstance(value, float) else round(value, 2)}")
    return 0


def judge(receipt: bytes, entry: bytes, trust: Trust) -> None:
    """All that the gate asks of a receipt and its statement, from their bytes."""
    clock = Clock(dt.datetime.now(dt.UTC))
    version = parse_stated(entry)
    read = tlogproof.parse_receipt(receipt)
    check_signature(version, trust, read.index)
    check_log(read.signed, trust)
    check_cosigned(read.signed, trust, clock)
    check_included(read, entry)


def rate(act: Callable[[], object], count: int) -> float:
    """How many a second of one core: of processor time, in the best of three rounds."""
    best = 0.0
    for _ in range(3):
        began = time.process_time()
        for _ in range(count):
            act()
        best = max(best, count / (time.process_time() - began))
    return best


def stated(signer: MemorySigner) -> bytes:
    payload = dataset_statement(
        ORIGIN,
        f"{MEMBERS[0]}/flights",
        1,
        root_hex="a0" * 32,
        contract=("1.0.0", "c0" * 32),
        previous_hex=None,
        inputs=[],
        manifest_sha256_hex="b0" * 32,
    )
    return dsse.sign_envelope(payload, [signer])


def receipt_of(
    entry: bytes, log: MemorySigner, cosigners: list[MemorySigner]
) -> tuple[bytes, bytes]:
    """The receipt of an entry in the middle of a large ledger, and the ledger's root."""
    index = SIZE // 2
    leaves = [merkle.leaf_hash(at.to_bytes(8)) for at in range(SIZE)]
    leaves[index] = merkle.leaf_hash(entry)
    tree = merkle.Tree(leaves)
    note = checkpoint.sign(Checkpoint(ORIGIN, SIZE, tree.root()), log)
    now = int(time.time())
    lines = [
        cosignature.cosign(note.text, f"{name}/witness", signer, now)
        for name, signer in zip(MEMBERS, cosigners, strict=True)
    ]
    note = note.with_signatures(lines)
    path = tree.inclusion_path(index)
    return tlogproof.format_receipt(index, path, note.format()), tree.root()


def trust_of(
    statement: list[MemorySigner], cosigners: list[MemorySigner], log: MemorySigner, root: bytes
) -> bytes:
    """A pinned trust of four members, in force since genesis."""

    def vkey(name: str, kind: int, signer: MemorySigner) -> encoding.JsonInput:
        text = VerifierKey.make(name, kind, signer.public_key).text
        return {"vkey": text, "from": "0", "until": None}

    members: list[encoding.JsonInput] = [
        {
            "name": name,
            "titles": {"en": name, "zh": "成员"},
            "standing": "active",
            "statement_keys": [
                {"key": encoding.b64(statement[at].public_key), "from": "0", "until": None}
            ],
            "cosigners": [vkey(f"{name}/witness", COSIGNATURE_V1, cosigners[at])],
            "logs": [vkey(ORIGIN, ED25519, log)] if at == 0 else [],
            "validators": [],
        }
        for at, name in enumerate(MEMBERS)
    ]
    return encoding.jcs(
        {
            "type": "zhixin/trust/v1",
            "origin": ORIGIN,
            "size": str(SIZE),
            "root": root.hex(),
            "quorums": [{"from": "0", "quorum": "3"}],
            "members": members,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
