"""What a verification answers, in words and as JSON (docs/formats.md 4).

::

    {"ok": false, "code": "part-digest", "message": "part-00001.parquet has other bytes than …",
     "dataset": "bts.gov.example/flights", "version": 3, "index": null, …,
     "checks": [{"name": "malformed", "status": "passed"}, …, {"name": "part-digest", …}]}

Codes are stable. A check's name is the first code of its row in the table; the list ends with the
first that failed. It does not verify anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from zhixin_errors import VerificationError
from zhixin_ledger.encoding import format_time

__all__ = [
    "CHECKS",
    "CODES",
    "CheckResult",
    "Status",
    "Verdict",
]

Status = Literal["passed", "failed", "skipped"]

CODES: dict[str, tuple[str, ...]] = {
    "malformed": ("malformed", "part-missing", "unlisted-file"),
    "unexpected": ("unexpected",),
    "log-signature": ("log-signature",),
    "quorum": ("quorum", "forked"),
    "statement-signature": ("statement-signature", "owner"),
    "inclusion": ("inclusion",),
    "manifest": ("manifest",),
    "contract": ("contract",),
    "part-digest": ("part-digest",),
    "root": ("root",),
    "record": ("record",),
    "standing": ("withdrawn", "stale", "forked"),
}
"""The rows of the table, each check with the codes that are its own. A fault in a standing file
fails ``standing`` with the code of the check that it fails."""

CHECKS = tuple(CODES)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One row of the table and how it went."""

    name: str
    status: Status


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer of a verification.

    Attributes:
        ok: whether everything that was asked holds.
        code: the gate's code of the refusal; None when ok.
        message: one sentence for people.
        dataset: ``member/name`` as stated; None where no statement could be read.
        version: as stated.
        index: of the entry in the ledger, once it was found there.
        size: of the receipt's checkpoint, once the quorum held.
        time: of the receipt, once the quorum held.
        records: of the version, once the manifest held; None for a record proof.
        checks: the rows in their order; ends with the first that failed.
        warnings: sentences that a person must read though everything holds.
    """

    ok: bool
    code: str | None
    message: str
    dataset: str | None = None
    version: int | None = None
    index: int | None = None
    size: int | None = None
    time: datetime | None = None
    records: int | None = None
    checks: tuple[CheckResult, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def status(self, check: str) -> Status | None:
        """How a check went; None where it was not reached."""
        return next((result.status for result in self.checks if result.name == check), None)

    def to_json(self) -> dict[str, object]:
        """The answer of ``--json``: ordinary JSON, integers are numbers.

        Warnings stand at the end of ``message``: the members are those of the specification.
        """
        return {
            "ok": self.ok,
            "code": self.code,
            "message": ". ".join((self.message, *(f"Warning: {text}" for text in self.warnings))),
            "dataset": self.dataset,
            "version": self.version,
            "index": self.index,
            "size": self.size,
            "time": None if self.time is None else format_time(self.time),
            "records": self.records,
            "checks": [{"name": item.name, "status": item.status} for item in self.checks],
        }

    def require(self) -> None:
        """Raise the refusal, if it is one.

        Raises:
            VerificationError: with the verdict's code and, in ``details``, its whole answer.
        """
        if not self.ok:
            raise VerificationError(self.message, code=self.code, details=self.to_json())
