"""One bit of one byte wrong: every byte of what is kept and of what travels, each is found.

A subject is a file or a proof, the check that must find the flip, and the places to flip. Of a
database these are all the bytes of all pages: a flip there is found, or nobody reads that byte
(free space, SQLite's own counters): every row of every table is the same with it. Where more
members cosigned than are due, a line that no longer is any known key's is no fault (lines of other
witnesses are welcome); so here exactly the quorum has.

    python tests/faults/flips.py [--every N] [--table FILE]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import world
from zhixin_errors import ZhixinError
from zhixin_gateway.gate import verify, verify_record
from zhixin_gateway.gate.record_proof import parse_record_proof
from zhixin_ledger import admission, checkpoint, encoding, governance, tiles, tlogproof
from zhixin_ledger.audit import AuditReport, audit
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.embedded import Engine
from zhixin_ledger.equivocation import Report
from zhixin_ledger.fsck import check_log, check_mirror
from zhixin_ledger.note import Note
from zhixin_ledger.state import State
from zhixin_ledger.tiles import DirectorySource, Tiles
from zhixin_ledger.transport import FileWitness, Means
from zhixin_ledger.trust import Trust, load_trust

VECTORS = Path(__file__).parents[1] / "vectors"
RESULTS = json.loads((VECTORS / "results.json").read_text())
NOW = datetime.fromisoformat(RESULTS["now"])
BEGINNING, END = "<!-- flips: begin -->", "<!-- flips: end -->"
INERT_SHARE = 16  # of a page's bytes of zero, one in so many is flipped


@dataclass
class Subject:
    """What is flipped, and how it is judged.

    Args:
        name: for people.
        data: its bytes.
        found: judges changed bytes; true: the flip is found.
        inert: says of an unfound flip that nobody reads that byte.
        places: which bytes; None: all.
    """

    name: str
    data: bytes
    found: Callable[[bytes], bool]
    inert: Callable[[], bool] | None = None
    places: Sequence[int] | None = None


@dataclass
class Result:
    """How it went: unfound places are a failure."""

    name: str
    flips: int
    found: int
    inert: int
    missed: list[int]


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def examine(subject: Subject, every: int) -> Result:
    """Flip one bit in each place, or in one place of `every`."""
    result = Result(subject.name, 0, 0, 0, [])
    assert not subject.found(subject.data), f"{subject.name} is at fault as it is"
    places = subject.places if subject.places is not None else range(len(subject.data))
    for place in places[:: min(every, max(1, len(places) // 16))]:
        result.flips += 1
        if subject.found(flipped(subject.data, place, place * 5 % 8)):
            result.found += 1
        elif subject.inert is not None and subject.inert():
            result.inert += 1
        else:
            result.missed.append(place)
    subject.found(subject.data)  # put back
    return result


# A ledger in a folder.


def lay_ledger(root: Path) -> None:
    """A ledger of two blocks, and copies, whose checkpoint has exactly the quorum's lines."""
    world.found(root)
    log, means = root / world.OPERATOR / "log", Means(world.clock, world.load_key)
    engine = Engine(log, world.signer(world.OPERATOR, "log"), clock=world.clock)
    for group in world.rounds():
        for data in group:
            engine.submit(data)
    asked = [
        FileWitness(name, root / name, DirectorySource(log), means)
        for name in world.NAMES[: world.QUORUM]
    ]
    engine.publish(asked)
    engine.close()
    for name in (world.OWNER, world.READER):
        client = world.open_client(root, name)
        client.sync()
        client.close()


def of_file(path: Path, name: str, judge: Callable[[], bool], **rest: object) -> Subject:
    def found(data: bytes) -> bool:
        path.write_bytes(data)
        return judge()

    return Subject(name, path.read_bytes(), found, **rest)  # type: ignore[arg-type]


def ledger_files(root: Path) -> list[Subject]:
    log = root / world.OPERATOR / "log"
    paths = [
        log / tiles.CHECKPOINT,
        *sorted(path for path in log.glob("tile/**/*") if path.is_file()),
    ]
    size = Checkpoint(*_made(log)).size
    paths = [path for path in paths if path.parent.suffix != ".p" or path.name == str(size)]
    return [of_file(path, str(path.relative_to(log)), lambda: not audit(log).ok) for path in paths]


def _made(log: Path) -> tuple[str, int, bytes]:
    made = checkpoint.parse(Note.parse((log / tiles.CHECKPOINT).read_bytes()).text)
    return made.origin, made.size, made.root


def full_tiles(root: Path) -> list[Subject]:
    """A ledger that has filled a tile and its bundle; too many bytes to flip each."""
    world.found(root, filler=254)
    log = root / world.OPERATOR / "log"
    return [
        of_file(
            log / name,
            f"{name} (some)",
            lambda: not audit(log).ok,
            places=range(0, (log / name).stat().st_size, step),
        )
        for name, step in (("tile/0/000", 37), ("tile/entries/000", 997), ("tile/1/000.p/1", 1))
    ]


def databases(root: Path) -> list[Subject]:
    log, copy = root / world.OPERATOR / "log", root / world.OWNER / "ledger"
    made = []
    for folder, name, check in (
        (log, "log.sqlite", check_log),
        (copy, "mirror.sqlite", partial(check_mirror, member=world.OWNER)),
    ):
        path, report = folder / name, audit(folder)
        rows = dump(path)
        made.append(
            of_file(
                path, name, partial(_unsound, check, folder, report),
                inert=lambda path=path, rows=rows: dump(path) == rows,
                places=worth_flipping(path.read_bytes()),
            )
        )  # fmt: skip
    return made


def _unsound(check: Callable[..., list], folder: Path, report: AuditReport) -> bool:
    """Check the database alone: the files were audited before, and are as they were."""
    return not all(part.ok for part in check(folder, auditor=lambda *_, **__: report))


def dump(path: Path) -> list[tuple] | None:
    """Every row of every table, read in two ways; None where it can't be read."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            names = [
                row[0]
                for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            rows = [
                (name, *row) for name in names for row in database.execute(f"SELECT * FROM {name}")
            ]
            return (
                rows
                + database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
            )
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def worth_flipping(data: bytes) -> list[int]:
    """All bytes but most of those of zero amid zeros, which pages are filled up with."""
    return [
        at for at in range(len(data)) if at % INERT_SHARE == 0 or any(data[max(0, at - 8) : at + 9])
    ]


# Proofs that travel: from the vectors, each with exactly the lines that are due.


def due(note: Note, trust: Trust) -> Note:
    """The note with one log's line and the quorum's, no more."""
    made = checkpoint.parse(note.text)
    logs = {(key.name, key.key_id) for key in trust.log_keys(made.size)}
    cosigners = {(item.key.name, item.key.key_id) for item in trust.cosigners(made.size)}
    lines = {line.name: line for line in note.signatures if (line.name, line.key_id) in cosigners}
    log = [line for line in note.signatures if (line.name, line.key_id) in logs][:1]
    return Note(note.text, (*log, *list(lines.values())[: trust.quorum(made.size)]))


def due_receipt(data: bytes, trust: Trust) -> bytes:
    receipt = tlogproof.parse_receipt(data)
    note = due(receipt.signed, trust).format()
    return tlogproof.format_receipt(receipt.index, receipt.path, note)


def proofs(root: Path) -> list[Subject]:
    trust = load_trust(VECTORS / "trust")
    version = min(
        (VECTORS / "versions" / name for name in RESULTS["versions"]),
        key=lambda path: sum(file.stat().st_size for file in path.iterdir()),
    )
    folder = root.joinpath(*version.parts[-3:])
    shutil.copytree(version, folder)
    receipt = folder / "receipt.tlog-proof"
    receipt.write_bytes(due_receipt(receipt.read_bytes(), trust))
    made = [
        of_file(path, f"a version's {path.name}", lambda: not verify(folder, trust, now=NOW).ok)
        for path in sorted(folder.iterdir())
    ]
    return [*made, _standing(root, trust), _record_proof(trust), *_governance(trust), _report()]


def _standing(root: Path, trust: Trust) -> Subject:
    for path in sorted((VECTORS / "standing").glob("*.json")):
        case = json.loads(path.read_text())
        if case["code"] is None and isinstance(case.get("standing"), str) and "now" not in case:
            break
    value = encoding.as_object(encoding.parse_jcs(base64.b64decode(case["standing"]), "it"), "it")
    value["receipt"] = due_receipt(encoding.as_text(value["receipt"], "").encode(), trust).decode()
    folder = root / "standing" / Path(case["base"])
    shutil.copytree(VECTORS / "versions" / case["base"], folder)
    return Subject(
        "standing.json",
        encoding.jcs(value),
        lambda data: not verify(folder, trust, now=NOW, standings=[data]).ok,
    )


def _record_proof(trust: Trust) -> Subject:
    case = json.loads((VECTORS / "accept" / "record-proof-first.json").read_text())
    proof = parse_record_proof(base64.b64decode(case["record_proof"]))
    receipt = tlogproof.format_receipt(
        proof.receipt.index, proof.receipt.path, due(proof.receipt.signed, trust).format()
    )
    return Subject(
        "a record's proof",
        proof.to_bytes(receipt),
        lambda data: not verify_record(data, trust, now=NOW).ok,
    )


def _governance(trust: Trust) -> list[Subject]:
    early = load_trust(VECTORS / "trust-early")
    lines = (VECTORS / "ledger" / "entries.jsonl").read_text().splitlines()
    state = State()
    for line in lines:
        admission.apply(state, base64.b64decode(json.loads(line)["entry"]))
    note = Note.parse((VECTORS / "ledger" / tiles.CHECKPOINT).read_bytes())
    tree = Tiles(DirectorySource(VECTORS / "ledger"), state.size)
    chain = governance.make_chain(tree, state, due(note, trust).format(), [early.size])
    return [
        Subject("a governance chain", chain, lambda data: _fails(governance.follow, early, data))
    ]


def _report() -> Subject:
    """Two checkpoints of one size, signed by the log: of a ledger whose keys we have."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_ledger(root)
        client = world.open_client(root, world.READER)
        note, trust = Note.parse(client.checkpoint()), _trust(client.state())
        client.close()
    made = checkpoint.parse(note.text)
    other = checkpoint.sign(
        Checkpoint(made.origin, made.size, bytes(32)), world.signer(world.OPERATOR, "log")
    )
    one = Note(note.text, note.signatures[:1])
    report = Report.make(one, other, bytes(32), [])

    def judged(data: bytes) -> None:
        finding = Report.parse(data).verify(trust)
        assert finding

    return Subject("an equivocation report", report.to_bytes(), partial(_fails, judged))


def _trust(state: State) -> Trust:
    from zhixin_ledger.trust import trust_of

    return trust_of(state)


def _fails(act: Callable[..., object], *values: object) -> bool:
    try:
        act(*values)
    except ZhixinError:
        return True
    return False


# All of it.

KINDS: dict[str, Callable[[Path], list[Subject]]] = {
    "ledger": lambda root: (lay_ledger(root), ledger_files(root))[1],
    "full tiles": full_tiles,
    "databases": lambda root: (lay_ledger(root), databases(root))[1],
    "proofs": proofs,
}


def run(kind: str, every: int, share: int = 0, shares: int = 1) -> list[Result]:
    """Examine all subjects of a kind, or one share of the places of each."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        subjects = KINDS[kind](Path(scratch) / "world")
        for subject in subjects:
            places = subject.places if subject.places is not None else range(len(subject.data))
            subject.places = places[share::shares]
        return [examine(subject, every) for subject in subjects]


def table(results: list[Result]) -> str:
    lines = ["| what | bytes flipped | found | read by nobody | missed |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(result.name for result in results):
        mine = [result for result in results if result.name == name]
        cells = [
            sum(values)
            for values in zip(
                *((r.flips, r.found, r.inert, len(r.missed)) for r in mine), strict=True
            )
        ]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--every", type=int, default=1, help="one byte in so many")
    parser.add_argument("--table", type=Path, help="write the table into this file")
    options = parser.parse_args()
    shares = os.cpu_count() or 1
    with ProcessPoolExecutor(shares) as pool:
        jobs = [
            pool.submit(run, kind, options.every, share, shares)
            for kind in options.kinds
            for share in range(shares)
        ]
        results = [result for job in jobs for result in job.result()]
    for result in results:
        if result.missed:
            print(f"{result.name}: missed at {result.missed[:40]}")
    text = table(results)
    print(text)
    if options.table:
        before, rest = options.table.read_text().split(BEGINNING)
        options.table.write_text(f"{before}{BEGINNING}\n{text}\n{END}{rest.split(END)[1]}")
    sys.exit(any(result.missed for result in results))


if __name__ == "__main__":
    main()
