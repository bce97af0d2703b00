r"""Standing (docs/formats.md 2.7, 4): is it withdrawn, is what we know fresh, is it one ledger.

A standing file says, as of the seal that its receipt ends with, which is a dataset's latest
version and which are withdrawn::

    {"fact":{"dataset":"bts.gov.example/flights","entry":"14","fact":"dataset","statement":"fdf9…",
     "version":"2","withdrawn":["1"]},"path":["c623…",…],"receipt":"c2sp.org/tlog-proof@v1\n…",
     "seal":"eyJz…","slot":"9","type":"zhixin/standing/v1"}

The home's own copy of the ledger says the same without a proof, for the home replayed it. Both
become a `Claim`, and claims are judged together: forked, then ending before the version's entry,
withdrawn, a missing input, too old. Pure functions; files are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import checkpoint, encoding, facts, merkle
from zhixin_ledger.facts import DatasetFact
from zhixin_ledger.note import Note
from zhixin_ledger.seal import parse_seal
from zhixin_ledger.tlogproof import parse_receipt

from zhixin_gateway.gate import receipts

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from zhixin_ledger.seal import Seal
    from zhixin_ledger.tlogproof import Receipt
    from zhixin_ledger.trust import Trust

__all__ = [
    "MAX_STANDING_BYTES",
    "Claim",
    "ClaimSource",
    "Extent",
    "LedgerView",
    "Place",
    "Standing",
    "StandingRules",
    "Subject",
    "claim_of_file",
    "claims_of_ledger",
    "judge",
    "parse_standing",
]

MAX_STANDING_BYTES = 1024 * 1024
TYPE = "zhixin/standing/v1"


class Place(Protocol):
    """Where the ledger has a version's statement."""

    @property
    def index(self) -> int:
        """The entry's index."""
        ...

    @property
    def statement(self) -> bytes:
        """H of the entry, 32 bytes."""
        ...


class Extent(Protocol):
    """How far a copy of the ledger goes."""

    @property
    def size(self) -> int:
        """How many entries were replayed."""
        ...


class LedgerView(Protocol):
    """A home's own copy of the ledger: every entry replayed, the last checkpoint kept.

    The copy may go further than its last checkpoint with a quorum; facts are those of the copy,
    its time is that of the checkpoint. `zhixin_ledger.client.LedgerClient` is one.
    """

    def state(self) -> Extent:
        """How far the copy goes."""
        ...

    def checkpoint(self) -> bytes:
        """The note of the last checkpoint that has its quorum."""
        ...

    def root_at(self, size: int) -> bytes:
        """The tree's root at ``size``, 1 ≤ size ≤ the copy's."""
        ...

    def dataset(self, name: str) -> DatasetFact | None:
        """The dataset's fact."""
        ...

    def stated(self, dataset: str, version: int) -> Place | None:
        """Where a version was stated."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """A standing file in good form; nothing is verified."""

    fact: DatasetFact
    slot: int
    path: tuple[bytes, ...]
    entry: bytes
    seal: Seal
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Subject:
    """The version that is judged.

    Attributes:
        dataset: ``member/name``.
        version: from 1.
        statement: H of its entry, 32 bytes.
        index: of its entry.
        size: of its receipt's checkpoint.
        root: of that checkpoint, 32 bytes.
        time: of its receipt.
        inputs: (dataset, version, H of that version's entry).
    """

    dataset: str
    version: int
    statement: bytes
    index: int
    size: int
    root: bytes
    time: datetime
    inputs: tuple[tuple[str, int, bytes], ...]

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True, slots=True)
class StandingRules:
    """What the caller allows.

    Attributes:
        now: the verifier's time.
        max_age: how old a standing, or without one the receipt, may be; None: any age.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        required: a standing of the version itself must be there.
    """

    now: datetime
    max_age: timedelta | None = None
    strict_inputs: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What one source says of one dataset, once the source itself held.

    Attributes:
        what: how a message names the source.
        dataset: whose standing it is.
        fact: the dataset's fact; None where the ledger has none.
        size: of the ledger that says so.
        root: of that ledger, 32 bytes.
        time: when it was so.
        stated: tells where any version was stated, where the source knows that.
    """

    what: str
    dataset: str
    fact: DatasetFact | None
    size: int
    root: bytes
    time: datetime
    stated: Callable[[str, int], Place | None] | None = None


class ClaimSource(Protocol):
    """A ledger that is asked now; ``gate.online`` has one."""

    def claims(self, subject: Subject, trust: Trust, clock: receipts.Clock) -> list[Claim]:
        """What it says of a version's dataset and of its inputs'.

        Raises:
            VerificationError: ``log-signature``, ``quorum``, ``forked``, ``stale``.
            LedgerUnavailable: it can't be reached.
        """
        ...


def parse_standing(data: bytes, what: str = "standing") -> Standing:
    """Read a standing file.

    Args:
        data: the whole file, at most 1 MiB.
        what: how a message names it.

    Raises:
        FormatError: another form, a fact that is no dataset's, no seal, a seal that is not the
            last entry of its receipt's checkpoint, a withdrawn version beyond the fact's.
    """
    if len(data) > MAX_STANDING_BYTES:
        raise FormatError(f"{what} is longer than {MAX_STANDING_BYTES} bytes")
    fact, path, receipt, seal, slot, kind = encoding.members(
        encoding.parse_jcs(data, what), what, ("fact", "path", "receipt", "seal", "slot", "type")
    )
    if kind != TYPE:
        raise FormatError(f"{what}: type is not {TYPE}")
    parsed_fact = facts.parse_fact(fact, f"{what}: fact")
    if not isinstance(parsed_fact, DatasetFact):
        raise FormatError(f"{what}: the fact is no dataset's")
    if parsed_fact.withdrawn and parsed_fact.withdrawn[-1] > parsed_fact.version:
        raise FormatError(f"{what}: a withdrawn version lies beyond the latest")
    entry = encoding.unb64(seal, f"{what}: seal")
    standing = Standing(
        fact=parsed_fact,
        slot=encoding.parse_uint(slot, f"{what}: slot"),
        path=tuple(
            encoding.parse_hex(item, f"{what}: path[{at}]")
            for at, item in enumerate(encoding.as_array(path, f"{what}: path"))
        ),
        entry=entry,
        seal=parse_seal(entry),
        receipt=parse_receipt(
            encoding.as_text(receipt, f"{what}: receipt").encode("utf-8", "surrogatepass"),
            f"{what}: receipt",
        ),
    )
    if standing.receipt.index != standing.receipt.checkpoint.size - 1:
        raise FormatError(f"{what}: the seal is not the last entry of its receipt's checkpoint")
    return standing


def claim_of_file(
    standing: Standing, subject: Subject, trust: Trust, clock: receipts.Clock, what: str
) -> Claim:
    """Hold one standing file to the trust and to the version that is judged.

    Args:
        standing: in good form.
        subject: the version.
        trust: what the caller pinned.
        clock: the verifier's.
        what: how a message names the file.

    Raises:
        VerificationError: ``unexpected``, ``log-signature``, ``quorum``, ``forked``, ``inclusion``.
    """
    fact = standing.fact
    if fact.dataset not in {subject.dataset, *(dataset for dataset, _, _ in subject.inputs)}:
        raise VerificationError(
            f"{what} is of {fact.dataset}, neither {subject.name}'s dataset nor one of its inputs'",
            code="unexpected",
        )
    time = receipts.check_receipt(standing.receipt, standing.entry, trust, clock, what)
    try:
        merkle.verify_inclusion(
            standing.slot,
            standing.seal.facts,
            merkle.leaf_hash(facts.leaf_data(fact)),
            standing.path,
            bytes.fromhex(standing.seal.state_hex),
        )
    except VerificationError as error:
        raise VerificationError(
            f"{what}: the fact is not in the state that the seal has: {error.message}",
            code="inclusion",
        ) from error
    last = standing.receipt.checkpoint
    return Claim(what, fact.dataset, fact, last.size, last.root, time)


def claims_of_ledger(
    view: LedgerView, subject: Subject, trust: Trust, clock: receipts.Clock
) -> list[Claim]:
    """What the home's copy of the ledger says of the version and its inputs.

    Args:
        view: the copy.
        subject: the version.
        trust: what the caller pinned.
        clock: the verifier's.

    Raises:
        VerificationError: ``log-signature``, ``quorum``; ``stale``: the copy is older than its own
            checkpoint; ``forked``: it is not the ledger of the receipt or of the trust.
    """
    what = "this home's copy of the ledger"
    note = Note.parse(view.checkpoint(), what)
    receipts.check_log(note, trust)
    time = receipts.check_cosigned(note, trust, clock, what)
    last, size = checkpoint.parse(note.text), view.state().size
    for other_size, root, other in (
        (last.size, last.root, "its own checkpoint"),
        (trust.size, trust.root, "the trust"),
        (subject.size, subject.root, "the receipt"),
    ):
        if other_size <= size and view.root_at(other_size) != root:
            raise VerificationError(
                f"{what} and {other} have two roots of the ledger's first {other_size} entries: "
                "somebody shows two ledgers",
                code="forked",
            )
    if size < last.size:  # its facts are older than the time of its checkpoint says
        raise VerificationError(
            f"{what} ends at {size} entries, before its own checkpoint of {last.size}: bring it up "
            "to date",
            code="stale",
        )
    datasets = dict.fromkeys((subject.dataset, *(dataset for dataset, _, _ in subject.inputs)))
    root = view.root_at(size)
    return [
        Claim(what, dataset, view.dataset(dataset), size, root, time, view.stated)
        for dataset in datasets
    ]


def judge(subject: Subject, claims: Sequence[Claim], rules: StandingRules) -> list[str]:
    """Judge a version by all claims together.

    Args:
        subject: the version.
        claims: what every source says; each is of the version's dataset or of an input's.
        rules: what the caller allows.

    Returns:
        Warnings: inputs that were withdrawn since.

    Raises:
        VerificationError: ``forked``, ``stale`` or ``withdrawn``.
    """
    _check_one_ledger(subject, claims)
    for claim in claims:
        if claim.size <= subject.index:
            raise VerificationError(
                f"{claim.what} ends at {claim.size} entries, before entry {subject.index}, "
                f"which states {subject.name}: bring it up to date",
                code="stale",
            )
    for claim in claims:
        if claim.dataset == subject.dataset and _withdrawn(claim, subject.version):
            raise VerificationError(
                f"{subject.name} is withdrawn, says {claim.what}", code="withdrawn"
            )
    warnings = _judge_inputs(subject, claims, rules)
    _check_fresh(subject, claims, rules)
    return warnings


def _withdrawn(claim: Claim, version: int) -> bool:
    return claim.fact is not None and version in claim.fact.withdrawn


def _check_one_ledger(subject: Subject, claims: Iterable[Claim]) -> None:
    roots = {subject.size: subject.root}
    for claim in claims:
        if roots.setdefault(claim.size, claim.root) != claim.root:
            raise VerificationError(
                f"{claim.what} has another root of the ledger's first {claim.size} entries: "
                "somebody shows two ledgers",
                code="forked",
            )
        for fault in _contradictions(subject, claim):
            raise VerificationError(
                f"{claim.what} contradicts the statement of {subject.name}: {fault}", code="forked"
            )


def _contradictions(subject: Subject, claim: Claim) -> Iterator[str]:
    if claim.dataset == subject.dataset:
        yield from _contradicts_own(subject, claim)
    for dataset, version, statement in subject.inputs:
        if claim.dataset == dataset:
            for fault in _contradicts_input(subject, claim, version, statement):
                yield f"{fault} of the input {dataset}@{version}"


def _contradicts_own(subject: Subject, claim: Claim) -> Iterator[str]:
    latest, entry = (claim.fact.version, claim.fact.entry) if claim.fact else (0, -1)
    if latest < subject.version:
        if claim.size > subject.index:
            yield f"it goes past entry {subject.index} and does not know the version"
        return
    if claim.size <= subject.index:
        yield f"it ends before entry {subject.index} and yet knows the version"
    elif latest > subject.version:
        if entry <= subject.index:
            yield f"it has version {latest} at entry {entry}, not after it"
    elif claim.fact and claim.fact.statement_hex != subject.statement.hex():
        yield "it has another statement of the version"
    elif entry != subject.index:
        yield f"it has the version at entry {entry}, not {subject.index}"
    place = claim.stated(subject.dataset, subject.version) if claim.stated else None
    if place and (place.index, place.statement) != (subject.index, subject.statement):
        yield f"it has another statement of the version, at entry {place.index}"


def _contradicts_input(
    subject: Subject, claim: Claim, version: int, statement: bytes
) -> Iterator[str]:
    latest, entry = (claim.fact.version, claim.fact.entry) if claim.fact else (0, -1)
    if latest < version and claim.size > subject.index:
        yield f"it goes past entry {subject.index} and has no statement"
    if claim.fact and latest == version:
        if claim.fact.statement_hex != statement.hex():
            yield "it has another statement"
        elif entry >= subject.index:
            yield f"it has the statement at entry {entry}, not before {subject.index},"
    place = claim.stated(claim.dataset, version) if claim.stated else None
    if place and (place.statement != statement or place.index >= subject.index):
        yield f"it has another statement, at entry {place.index},"


def _judge_inputs(subject: Subject, claims: Sequence[Claim], rules: StandingRules) -> list[str]:
    withdrawn = [
        f"{dataset}@{version}"
        for dataset, version, _ in subject.inputs
        if any(claim.dataset == dataset and _withdrawn(claim, version) for claim in claims)
    ]
    if not rules.strict_inputs:
        return [f"the input {name} was withdrawn since" for name in withdrawn]
    if withdrawn:
        raise VerificationError(
            f"{subject.name} was made from {withdrawn[0]}, which was withdrawn since",
            code="withdrawn",
        )
    known = {claim.dataset for claim in claims}
    for dataset, version, _ in subject.inputs:
        if dataset not in known:
            raise VerificationError(
                f"there is no standing of the input {dataset}@{version}: give one with --standing",
                code="stale",
            )
    return []


def _check_fresh(subject: Subject, claims: Sequence[Claim], rules: StandingRules) -> None:
    own = [claim for claim in claims if claim.dataset == subject.dataset]
    if rules.required and not own:
        raise VerificationError(
            f"nothing here tells the standing of {subject.name}: give --standing FILE, "
            "--ledger URL, or a home with its copy of the ledger",
            code="stale",
        )
    if rules.max_age is None:
        return
    ages = [(claim.what, claim.time) for claim in claims]
    if not own:
        ages.append(("the receipt", subject.time))
    for what, time in ages:
        if rules.now - time > rules.max_age:
            raise VerificationError(
                f"{what} is of {encoding.format_time(time)}, older than the caller allows: "
                + ("renew it" if what == "the receipt" else "get a newer one"),
                code="stale",
            )
