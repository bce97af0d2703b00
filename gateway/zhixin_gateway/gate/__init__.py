"""The gate: the one door through which a dataset is read (docs/formats.md 4).

========================  ==========================================================================
``verdict``               what a verification answers: code, message, the checks in their order
``files``                 the only input: a directory listed, files read within limits, parts hashed
``receipts``              one receipt judged by the trust: log signature, quorum, time, inclusion
``checks``                the table's rows as pure functions over bytes and parsed values
``standing``              standing files and the home's copy of the ledger
``verify``                the rows in their order: a directory in, a verdict out
``parts``                 parts decoded from private copies; every record tree recomputed
``record_proof``          one record verified without its dataset; ``prove`` makes the proof
``reader``                `VerifiedDataset`: the only thing that yields data
``query``                 SQL over verified data
========================  ==========================================================================

Everything is refused with one of the stable codes of docs/formats.md; a failure never yields a row.
"""

from zhixin_gateway.gate.prove import prove_record
from zhixin_gateway.gate.query import query
from zhixin_gateway.gate.reader import VerifiedDataset, open_version
from zhixin_gateway.gate.record_proof import RecordVerdict, verify_record
from zhixin_gateway.gate.verdict import CheckResult, Verdict
from zhixin_gateway.gate.verify import verify

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
