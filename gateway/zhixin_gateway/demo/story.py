"""The demo's story: five datasets, one made of three of them, and what the gate refuses.

Every step may be taken again: a second demo finds that nothing changed, publishes nothing, and
shows the refusals again.
"""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zhixin_ledger.cosignature import counted
from zhixin_ledger.tlogproof import parse_receipt

from zhixin_gateway.datasets.directory import MANIFEST_FILE, RECEIPT_FILE, version_path, write_whole
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.demo.tampering import change_record, copy_version, flip_byte
from zhixin_gateway.demo.world import BTS, FAA, MEMBERS, NOAA, NTSB, World
from zhixin_gateway.founding import export_trust
from zhixin_gateway.gate import Verdict, prove_record, verify, verify_record
from zhixin_gateway.home import Home
from zhixin_gateway.opening import open_version
from zhixin_gateway.pipeline import RunResult, run
from zhixin_gateway.progress import Progress
from zhixin_gateway.withdrawing import withdraw

__all__ = [
    "DERIVED",
    "Publish",
    "Published",
    "Shown",
    "publish_all",
    "publish_one",
    "published",
    "show_all",
]

Publish = Callable[[World, str, Progress], RunResult]

DERIVED = f"{NTSB}/delays-by-weather"
# FAA first: the flights' relationships are checked against its verified versions.
_ORDER = (
    f"{FAA}/airports",
    f"{FAA}/planes",
    f"{NOAA}/weather",
    f"{BTS}/airlines",
    f"{BTS}/flights",
    DERIVED,
)
_SECOND_OPINION = f"{FAA}/airports"
_NEWER_CONTRACT = "delays-by-weather-1.1.0.odcs.yaml"
_CITIZEN = "N14228"


@dataclass(frozen=True)
class Published:
    """A version as the closing table has it."""

    dataset: str
    version: int
    records: int
    quarantined: int
    warned: int | None
    root: str
    index: int
    cosigners: int
    seconds: float | None
    standing: str
    path: Path


@dataclass(frozen=True)
class Shown:
    """One thing that the demo shows, and whether it came as it must."""

    what: str
    expected: str | None
    verdict: Verdict

    @property
    def right(self) -> bool:
        """Whether the gate gave the answer that is due."""
        return self.verdict.code == self.expected


def publish_all(
    world: World, progress: Progress, publish: Publish | None = None
) -> list[RunResult]:
    """Run the six datasets; NTSB's second version too, and the first one's withdrawal.

    Args:
        world: the demo's world.
        progress: told what is published.
        publish: how one dataset is run; `publish_one` by default.

    Returns:
        The runs' answers, in their order.

    Raises:
        ZhixinError: a run failed.
    """
    publish = publish or publish_one
    results = [publish(world, dataset, progress) for dataset in _ORDER]
    home = world.home(NTSB)
    contract = world.contract(DERIVED)
    newer = (importlib.resources.files("zhixin_gateway.demo") / _NEWER_CONTRACT).read_bytes()
    if contract.read_bytes() != newer:
        progress.say(f"{DERIVED}: its contract moves to 1.1.0, with one more column")
        write_whole(contract, newer)
        results.append(publish(world, DERIVED, progress))
    with home.ledger_client() as client:
        fact = client.sync().dataset(DERIVED)
    if fact is not None and fact.version > 1 and 1 not in fact.withdrawn:
        progress.step("withdraw version 1, which version 2 replaces", DERIVED)
        index = withdraw(home, DERIVED, 1, "superseded", replaced_by=2)
        progress.done(f"entry {index}")
    for member in MEMBERS:
        _catch_up(world.home(member))
    return results


def publish_one(world: World, dataset: str, progress: Progress) -> RunResult:
    """Run one dataset in its owner's home, and say what came of it."""
    home = world.home(dataset.partition("/")[0])
    began = time.monotonic()
    result = run(
        home,
        world.contract(dataset),
        report=dataset == _SECOND_OPINION,
        orchestrator="zhixin demo",
        progress=progress,
    )
    told = "nothing changed, nothing published"
    if result.version is not None:
        told = (
            f"published as version {result.version}: {result.records:,} records, "
            f"{result.quarantined:,} quarantined, {result.warned:,} warned"
        )
    progress.say(f"{dataset}: {told} ({time.monotonic() - began:.1f} s)")
    return result


def _catch_up(home: Home) -> None:
    """Bring the member's copy of the ledger, and the trust that follows from it, to the newest."""
    with home.ledger_client() as client:
        export_trust(home, client.sync())


def published(world: World, results: list[RunResult]) -> Iterator[Published]:
    """Every version of the demo's datasets, as their owners' stores and the ledger have them."""
    runs = {(result.dataset, result.version or result.standing): result for result in results}
    for dataset in _ORDER:
        home = world.home(dataset.partition("/")[0])
        with home.ledger_client() as client:
            fact = client.state().dataset(dataset)
        for version in range(1, fact.version + 1 if fact else 1):
            yield _row(home, dataset, version, runs.get((dataset, version)), fact)


def _row(home: Home, dataset: str, version: int, made: RunResult | None, fact: Any) -> Published:  # noqa: ANN401 - a dataset fact
    path = version_path(home.store, dataset, version)
    manifest = parse_manifest((path / MANIFEST_FILE).read_bytes())
    receipt = parse_receipt((path / RECEIPT_FILE).read_bytes())
    trust = home.trust()
    keys = [cosigner.key for cosigner in trust.cosigners(receipt.checkpoint.size)]
    return Published(
        dataset=dataset,
        version=version,
        records=manifest.records,
        quarantined=manifest.quarantined,
        warned=made.warned if made else None,
        root=manifest.root.hex(),
        index=receipt.index,
        cosigners=len(counted(receipt.signed, keys)),
        seconds=made.seconds if made else None,
        standing="withdrawn" if version in fact.withdrawn else "stands",
        path=path,
    )


def show_all(world: World, versions: list[Published], progress: Progress) -> list[Shown]:
    """Verify what stands, prove one record, then show what the gate refuses.

    Returns:
        What was shown, in its order; each as the gate answered it.
    """
    shown = []
    for version in versions:
        if version.standing == "stands":
            shown.append(_verify_standing(world, version, progress))
    ntsb = world.home(NTSB)
    for scene in (_one_record, _flipped_byte, _changed_record, _withdrawn):
        result = scene(world, ntsb)
        _tell(progress, result)
        shown.append(result)
    return shown


def _verify_standing(world: World, version: Published, progress: Progress) -> Shown:
    name = f"{version.dataset}@{version.version}"
    home = world.home(version.dataset.partition("/")[0])
    verdict = _judge(home, version.path, name)
    result = Shown(name, None, verdict)
    _tell(progress, result)
    return result


def _judge(home: Home, path: Path, expect: str) -> Verdict:
    return verify(path, home.trust(), expect=expect, ledger_copy=home.ledger_view())


def _tell(progress: Progress, shown: Shown) -> None:
    verdict = shown.verdict
    if verdict.ok:
        progress.say(f"VERIFIED  {shown.what}")
    else:
        progress.say(f"REFUSED   {shown.what}: {verdict.code}")
        progress.say(f"          {verdict.message}")
    for warning in verdict.warnings:
        progress.warn(warning)


def _flipped_byte(world: World, home: Home) -> Shown:
    source = version_path(home.store, f"{BTS}/flights", 1)
    copy = copy_version(source, world.folder / "tampered" / "flipped-byte")
    done = flip_byte(copy)
    return Shown(f"flights, {done}", "part-digest", _judge(home, copy, f"{BTS}/flights@1"))


def _changed_record(world: World, home: Home) -> Shown:
    name = f"{FAA}/planes"
    copy = copy_version(
        version_path(home.store, name, 1), world.folder / "tampered" / "changed-record"
    )
    dataset = open_version(home, name, 1)
    done = change_record(copy, dataset, ["tailnum"], "manufacturer", lambda text: text + " II")
    return Shown(f"planes, {done}", "manifest", _judge(home, copy, f"{name}@1"))


def _withdrawn(_world: World, home: Home) -> Shown:
    path = version_path(home.store, DERIVED, 1)
    return Shown(f"{DERIVED}@1", "withdrawn", _judge(home, path, f"{DERIVED}@1"))


def _one_record(world: World, home: Home) -> Shown:
    """FAA proves one aircraft's record; the official has the proof and a trust, and no network."""
    faa = world.home(FAA)
    path = version_path(faa.store, f"{FAA}/planes", 1)
    proof = prove_record(
        path,
        faa.trust(),
        where=f"tailnum = '{_CITIZEN}'",
        expect=f"{FAA}/planes@1",
        ledger_copy=faa.ledger_view(),
    )
    file = world.folder / "shown" / f"{_CITIZEN}.zhixin-proof.json"
    file.parent.mkdir(exist_ok=True)
    write_whole(file, proof)
    verdict = verify_record(file.read_bytes(), home.trust(), expect=f"{FAA}/planes")
    return Shown(f"the one record of aircraft {_CITIZEN}, offline, from {file}", None, verdict)
