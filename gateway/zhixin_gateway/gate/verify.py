"""The rows of the table (docs/formats.md 4) in their order: a directory in, a verdict out.

The rules of the machine:

1. Rows are asked in the order of `verdict.CHECKS`; none twice; a later one never before an earlier.
2. The first that fails ends it: there is no next row, and no row of data.
3. A row that was not asked for (``record`` without deep, ``standing`` without a source,
   ``part-digest`` where parts are judged as they are read) is said to be skipped, never passed.
4. Bad data gives a verdict; only a fault of the set-up raises (`ConfigError`, `TrustError`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, FormatError, VerificationError
from zhixin_ledger.encoding import format_time, sha256

from zhixin_gateway.datasets.directory import FILE_LIMITS
from zhixin_gateway.datasets.manifest import MAX_PART_BYTES
from zhixin_gateway.filedigests import FileDigests
from zhixin_gateway.gate import checks, receipts, standing
from zhixin_gateway.gate.checks import Asked, Stated, Version
from zhixin_gateway.gate.files import Digests, LocalDirectory, VersionFiles, hash_part, read_file
from zhixin_gateway.gate.verdict import CHECKS, CheckResult, Verdict
from zhixin_gateway.progress import NullProgress, Progress
from zhixin_gateway.sidebyside import cores
from zhixin_gateway.stores import is_url

if TYPE_CHECKING:
    from zhixin_ledger.tlogproof import Receipt
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.datasets.manifest import Manifest
    from zhixin_gateway.gate.standing import Claim, ClaimSource, LedgerView, Subject

__all__ = ["Examination", "Machine", "Options", "Refused", "StandingSource", "examine", "verify"]

StandingSource = Path | bytes


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller asks of a verification.

    Attributes:
        expect: ``MEMBER/DATASET[@N]``; None: what the path asks for.
        deep: recompute every record tree.
        now: the verifier's clock, aware; None: this machine's.
        max_age: how old a standing, or without one the receipt, may be.
        standings: standing files, or their bytes: the version's and its inputs'.
        ledger_copy: the home's copy of the ledger.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        require_standing: without a source of standing it is ``stale``.
        ledger: a ledger that is asked over the network.
        beside: the standing files were found beside the directory, nobody named them.
        progress: is told of each part's records, once.
        reading: the data will be read: columns and bounds of every part are checked too.
        streaming: each part will be judged as it is read: here none is.
        threads: how many parts are worked on at once; None: as many as there are cores.
        ahead: digests of the parts, taken since the command began.
    """

    expect: str | None = None
    deep: bool = False
    now: datetime | None = None
    max_age: timedelta | None = None
    standings: Sequence[StandingSource] = ()
    ledger_copy: LedgerView | None = None
    strict_inputs: bool = False
    current_keys: bool = False
    require_standing: bool = False
    ledger: ClaimSource | None = None
    beside: bool = False
    progress: Progress = field(default_factory=NullProgress)
    reading: bool = False
    streaming: bool = False
    threads: int | None = None
    ahead: Digests | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a verification is judged by: all that is not the data's own.

    Attributes:
        asked: which version the caller asked for; None: any, with a warning.
        trust: what the caller pinned.
        clock: the verifier's.
        options: what else is asked.
        standings: name and bytes of each standing file.
    """

    asked: Asked | None
    trust: Trust
    clock: receipts.Clock
    options: Options
    standings: Sequence[tuple[str, bytes]]

    @classmethod
    def make(cls, asked: Asked | None, trust: Trust, options: Options) -> Question:
        """Read the clock and the standing files, once.

        Raises:
            ConfigError: the clock has no offset, or a standing file can't be read.
        """
        now = options.now or datetime.now(UTC)
        if now.tzinfo is None:
            raise ConfigError("`now` must be an aware time")
        clock = receipts.Clock(now, options.current_keys)
        return cls(asked, trust, clock, options, _read_standings(options.standings))


class Refused(Exception):
    """A row failed; the machine holds the verdict. Never leaves the gate."""


@dataclass
class Machine:
    """The rows that were asked so far, and what they established."""

    results: list[CheckResult] = field(default_factory=list)
    found: Verdict = field(default_factory=lambda: Verdict(ok=False, code=None, message=""))
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        """Ask one row: what its block raises is the refusal, in the row's name."""
        self._next(name)
        try:
            yield
        except FormatError as error:
            self._refuse(name, "record" if name == "record" else "malformed", error.message)
        except VerificationError as error:
            self._refuse(name, error.code, error.message)
        self.results.append(CheckResult(name, "passed"))

    def skip(self, name: str) -> None:
        """Say that a row was not asked."""
        self._next(name)
        self.results.append(CheckResult(name, "skipped"))

    def know(self, **found: object) -> None:
        """Keep what a row established, for the verdict."""
        self.found = replace(self.found, **found)  # type: ignore[arg-type]

    def passed(self, message: str) -> Verdict:
        """Every row passed or was skipped."""
        return self._verdict(True, None, message)

    def _next(self, name: str) -> None:
        before = [CHECKS.index(result.name) for result in self.results]
        if before and CHECKS.index(name) <= before[-1]:
            raise RuntimeError(f"the row {name} was asked out of order")

    def _refuse(self, name: str, code: str, message: str) -> None:
        if code == "part-digest" and name == "record":
            # A part changed after its digest was checked: that row's pass is void.
            name = code
            self.results = self.results[: [item.name for item in self.results].index(name)]
        self.results.append(CheckResult(name, "failed"))
        self.found = self._verdict(False, code, message)
        raise Refused

    def _verdict(self, ok: bool, code: str | None, message: str) -> Verdict:
        return replace(
            self.found,
            ok=ok,
            code=code,
            message=message,
            checks=tuple(self.results),
            warnings=tuple(self.warnings),
        )


@dataclass(frozen=True, slots=True)
class Examination:
    """A verdict with what it was made from, for the reader.

    Attributes:
        verdict: the answer.
        version: the parsed small files; None where they could not be read.
        files: where the version lies.
        options: what was asked.
    """

    verdict: Verdict
    version: Version | None
    files: VersionFiles
    options: Options


def verify(
    path: Path | str,
    trust: Trust | Path | str,
    *,
    expect: str | None = None,
    deep: bool = False,
    now: datetime | None = None,
    max_age: timedelta | None = None,
    standings: Sequence[StandingSource] = (),
    ledger_copy: LedgerView | None = None,
    strict_inputs: bool = False,
    current_keys: bool = False,
    require_standing: bool = False,
    ledger: ClaimSource | None = None,
    beside: bool = False,
    progress: Progress | None = None,
    threads: int | None = None,
    ahead: Digests | None = None,
) -> Verdict:
    """Verify a version's directory.

    Args:
        path: the directory; itself, not what lies in it, may be reached through links.
        trust: what the caller pinned, or its folder.
        expect: ``MEMBER/DATASET[@N]``; None: what the path asks for, if it asks.
        deep: recompute every record tree.
        now: the verifier's clock, aware; None: this machine's.
        max_age: how old a standing, or without one the receipt, may be.
        standings: standing files, or their bytes: the version's and its inputs'.
        ledger_copy: the home's copy of the ledger.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        require_standing: without a source of standing it is ``stale``.
        ledger: a ledger that is asked over the network (`zhixin_gateway.online.ask`).
        beside: the standing files were found beside the directory, nobody named them.
        progress: is told of each part's records, once.
        threads: how many parts are worked on at once; None: as many as there are cores.
        ahead: digests of the parts, taken since the caller was asked
            (`zhixin_gateway.filedigests.DirectoryAhead`).

    Returns:
        The verdict, good or bad.

    Raises:
        ConfigError: the set-up is at fault: no such directory, a file that can't be read.
        LedgerUnavailable: ``ledger`` can't be reached, so that nothing can be said.
        TrustError: the trust can't be used.
    """
    options = Options(
        expect=expect,
        deep=deep,
        now=now,
        max_age=max_age,
        standings=standings,
        ledger_copy=ledger_copy,
        strict_inputs=strict_inputs,
        current_keys=current_keys,
        require_standing=require_standing,
        ledger=ledger,
        beside=beside,
        progress=progress or NullProgress(),
        threads=threads,
        ahead=ahead,
    )
    from zhixin_ledger.trust import Trust, load_trust

    pinned = trust if isinstance(trust, Trust) else load_trust(Path(trust))
    return examine(path, pinned, options).verdict


def examine(path: Path | str, trust: Trust, options: Options) -> Examination:
    """As `verify`, and give what was verified besides."""
    files, place = _opened(path)
    asked = checks.parse_asked(options.expect) if options.expect else checks.asked_by_path(place)
    return examine_files(files, asked, trust, options)


def _opened(path: Path | str) -> tuple[VersionFiles, PurePath]:
    """A version's files, wherever they lie, and the path that may say which version they are."""
    if is_url(path):
        from zhixin_gateway.gate.objectfiles import open_address, path_of

        return open_address(str(path)), path_of(str(path))
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links must not be followed
    return LocalDirectory(absolute), absolute


def examine_files(
    files: VersionFiles, asked: Asked | None, trust: Trust, options: Options
) -> Examination:
    """As `examine`, of files that lie anywhere.

    Args:
        files: the version's.
        asked: what the caller asked for; None: anything, with a warning.
        trust: what the caller pinned.
        options: what else is asked; ``expect`` is not looked at.
    """
    machine, version = Machine(), None
    question = Question.make(asked, trust, options)
    try:
        with machine.row("malformed"):
            version = _read_version(files)
            machine.know(dataset=version.stated.says.dataset, version=version.stated.says.version)
            checks.check_listing(files.entries(), version.manifest)
        check_stated(machine, version.stated, version.receipt, question)
        with machine.row("manifest"):
            checks.check_manifest(version)
            machine.know(records=version.manifest.records)
        with machine.row("contract"):
            checks.check_contract(version)
        _check_parts(machine, version, files, options)
        check_standing(machine, version.stated, version.receipt, question)
    except Refused:
        return Examination(machine.found, version, files, options)
    name = version.stated.name
    message = (
        f"{name} is what its owner stated and the members recorded as entry "
        f"{version.receipt.index} of {trust.origin}"
    )
    return Examination(machine.passed(message), version, files, options)


def _read_version(files: VersionFiles) -> Version:
    small = (read_file(files, name, limit) for name, limit in FILE_LIMITS.items())
    return checks.parse_version_files(*small)


def check_stated(machine: Machine, stated: Stated, receipt: Receipt, question: Question) -> None:
    """The rows from ``unexpected`` to ``inclusion``: of a version and of a record proof alike."""
    trust = question.trust
    with machine.row("unexpected"):
        checks.check_asked(stated, question.asked)
        if question.asked is None:
            machine.warnings.append(
                f"no version was asked for: this one says that it is {stated.name} (ask with "
                "--expect)"
            )
    with machine.row("log-signature"):
        receipts.check_log(receipt.signed, trust)
    with machine.row("quorum"):
        time = receipts.check_cosigned(receipt.signed, trust, question.clock)
        machine.know(size=receipt.checkpoint.size, time=time)
        if receipt.checkpoint.size > trust.size:
            machine.warnings.append(
                f"the trust ends at {trust.size} entries, before the receipt's "
                f"{receipt.checkpoint.size}: it can't know of keys that ended since; "
                "`zhixin trust update` brings it up to date"
            )
    with machine.row("statement-signature"):
        checks.check_signature(stated, trust, receipt.index)
    with machine.row("inclusion"):
        receipts.check_included(receipt, stated.entry, f"the statement of {stated.name}")
        machine.know(index=receipt.index)


def _check_parts(machine: Machine, version: Version, files: VersionFiles, options: Options) -> None:
    manifest, faults = version.manifest, list[VerificationError]()
    if options.streaming:
        machine.skip("part-digest")
    else:
        with machine.row("part-digest"):
            check = _look_into if options.reading else _hash_parts
            for part, fault in zip(manifest.parts, check(files, manifest, options), strict=True):
                faults += [fault] if fault else []
                if not options.deep:
                    options.progress.advance(part.records)
    with machine.row("root"):
        checks.check_root(version)
    if options.streaming or not (options.deep or faults):
        machine.skip("record")
        return
    with machine.row("record"):
        if faults:
            raise faults[0]
        from zhixin_gateway.gate.parts import check_records

        check_records(files, manifest, options.progress, options.threads or cores())


def _hash_parts(files: VersionFiles, manifest: Manifest, options: Options) -> Iterator[None]:
    """Hold each part to its digest, in order; several are hashed at once."""
    parts, digests = manifest.parts, options.ahead
    threads = min(options.threads or cores(), len(parts))
    with ExitStack() as stack:
        if digests is None and threads > 1:
            names = [part.path for part in parts]
            digests = stack.enter_context(FileDigests(files.open, names, MAX_PART_BYTES, threads))
        for part in parts:
            hash_part(files, part.path, part.size_bytes, part.sha256, digests)
            yield None


def _look_into(
    files: VersionFiles, manifest: Manifest, options: Options
) -> Iterator[VerificationError | None]:
    """Hold each part to its digest, and give what is wrong with its columns or bounds, if any."""
    from zhixin_gateway.gate.parts import look_into

    return look_into(files, manifest, options.threads or cores())


def _read_standings(sources: Sequence[StandingSource]) -> list[tuple[str, bytes]]:
    """The standing files' names and bytes, of each at most one byte too many.

    Raises:
        ConfigError: one can't be read.
    """
    found = []
    for number, source in enumerate(sources, 1):
        if isinstance(source, bytes):
            found.append((f"standing {number}", source))
            continue
        try:
            with source.open("rb") as file:
                data = file.read(standing.MAX_STANDING_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{source} can't be read: {error.strerror}") from error
        found.append((f"the standing file {source.name}", data))
    return found


def check_standing(machine: Machine, stated: Stated, receipt: Receipt, question: Question) -> None:
    """The last row, with the claims of every source that was given."""
    clock, options = question.clock, question.options
    time = machine.found.time
    if time is None:
        raise RuntimeError("standing was asked before the quorum")
    says = stated.says
    subject = standing.Subject(
        dataset=says.dataset,
        version=says.version,
        statement=sha256(stated.entry),
        index=receipt.index,
        size=receipt.checkpoint.size,
        root=receipt.checkpoint.root,
        time=time,
        inputs=tuple(
            (item.dataset, item.version, bytes.fromhex(item.statement_hex)) for item in says.inputs
        ),
    )
    rules = standing.StandingRules(
        now=clock.now,
        max_age=options.max_age,
        strict_inputs=options.strict_inputs,
        required=options.require_standing,
    )
    with machine.row("standing"):
        claims = _claims(subject, question)
        machine.warnings += standing.judge(subject, claims, rules)
    own = [claim for claim in claims if claim.dataset == says.dataset]
    if options.beside:
        machine.warnings += [_told_beside(claim, options) for claim in own]
    if not own:
        machine.results[-1] = CheckResult("standing", "skipped")
        machine.warnings.append(
            f"publication is proved, standing is not: nothing here tells whether {stated.name} "
            "was withdrawn since"
        )


def _claims(subject: Subject, question: Question) -> list[Claim]:
    """What every source that was given says of the version and its inputs."""
    trust, clock, options = question.trust, question.clock, question.options
    claims = [
        standing.claim_of_file(standing.parse_standing(data, what), subject, trust, clock, what)
        for what, data in question.standings
    ]
    if options.ledger_copy is not None:
        claims += standing.claims_of_ledger(options.ledger_copy, subject, trust, clock)
    if options.ledger is not None:
        claims += options.ledger.claims(subject, trust, clock)
    return claims


def _told_beside(claim: Claim, options: Options) -> str:
    """Say by what it stands: who gave the directory gave the file beside it, and chose its age."""
    told = f"that it stands is said by {claim.what} beside it, as of {format_time(claim.time)}"
    return told if options.max_age is not None else f"{told}; bound its age with --max-age"
