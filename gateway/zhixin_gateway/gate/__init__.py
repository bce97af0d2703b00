"""The gate: the one door through which a dataset is read (docs/formats.md 4).

========================  ==========================================================================
``verdict``               what a verification answers: code, message, the checks in their order
``files``                 the only input: files read within limits, parts hashed (``filedigests``
                          does it side by side, ``objectfiles`` where they lie in an object store)
``receipts``              one receipt judged by the trust: log signature, quorum, time, inclusion
``checks``                the table's rows as pure functions over bytes and parsed values
``standing``              standing files and the home's copy of the ledger
``verify``                the rows in their order: a directory in, a verdict out
``parts``                 parts decoded from private copies; every record tree recomputed
``record_proof``          one record verified without its dataset; ``prove`` makes the proof
``keyed``                 one record found by its key, and only the part read that holds it
``reader``                `VerifiedDataset`: the only thing that yields data
``query``                 SQL over verified data
========================  ==========================================================================

Everything is refused with one of the stable codes of docs/formats.md; a failure never yields a row.

Importing this loads no Arrow: a shallow verification needs none. What does comes when it is asked
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zhixin_gateway.gate.query import query
from zhixin_gateway.gate.verdict import CheckResult, Verdict
from zhixin_gateway.gate.verify import verify

if TYPE_CHECKING:
    from zhixin_gateway.gate.prove import prove_record
    from zhixin_gateway.gate.reader import VerifiedDataset, open_version
    from zhixin_gateway.gate.record_proof import RecordVerdict, verify_record

__all__ = [
    "CheckResult",
    "RecordVerdict",
    "Verdict",
    "VerifiedDataset",
    "open_version",
    "prove_record",
    "query",
    "verify",
    "verify_record",
]

_PLACES = {
    "RecordVerdict": "record_proof",
    "VerifiedDataset": "reader",
    "open_version": "reader",
    "prove_record": "prove",
    "verify_record": "record_proof",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import what needs Arrow when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
