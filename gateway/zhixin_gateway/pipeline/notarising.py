"""From a staged version to a published one: sign, submit, receipt, rename.

::

    written ─ nothing changed? ─▶ thrown away, nothing is published
       │ statement.json signed, state.json says so (durable)
    signed ── submit (same payload: same index) ─ receipt (quorum) ─ rename ─▶ store/…/N
                    └ not reached: proof pending; everything stays and is finished later

Every step may die and be run again. The signature is made once and kept: what is submitted again
is the same payload, and the ledger gives its index again.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable, TransientSourceError
from zhixin_ledger import client as ledger
from zhixin_ledger.dsse import sign_envelope
from zhixin_ledger.encoding import format_time, sha256_hex

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import Manifest, QualityItem, parse_manifest
from zhixin_gateway.drift import remember_columns
from zhixin_gateway.home import Home
from zhixin_gateway.pipeline.contracting import state_contract
from zhixin_gateway.pipeline.opinion import heard_opinion
from zhixin_gateway.pipeline.previous import previous_version
from zhixin_gateway.pipeline.results import RunResult, last_run, remember_run
from zhixin_gateway.pipeline.staging import SIGNED, Staged, Work, unfinished
from zhixin_gateway.progress import NullProgress, Progress
from zhixin_gateway.quarantine import UNCHANGED, drop_attempt, keep_attempt

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State

    from zhixin_gateway.stores import Place

__all__ = ["finish", "known_state", "notarise", "resume"]


def known_state(client: LedgerClient, progress: Progress | None = None) -> State:
    """The ledger's newest state that can be had: fetched, or the own copy's.

    Args:
        client: this member's view.
        progress: told where the ledger can't be reached.
    """
    try:
        return client.sync()
    except LedgerUnavailable as error:
        (progress or NullProgress()).warn(
            f"the ledger can't be reached, its own copy is used: {error.message}"
        )
        return client.state()


def notarise(
    home: Home, staged: Staged, *, force: bool = False, progress: Progress | None = None
) -> RunResult:
    """Publish what was written: the last step of a run.

    Args:
        home: the owner's.
        staged: what ``write`` answered.
        force: publish also where nothing changed.
        progress: told what happens.

    Returns:
        What came of it; ``pending`` where the ledger or its quorum could not be reached.

    Raises:
        ConfigError: the staging belongs to another run.
        LedgerRefused: the ledger's rules refuse the statement; the staging is thrown away.
    """
    progress = progress or NullProgress()
    work = Work(home, str(staged["dataset"]))
    with home.lock(work.dataset):
        state = work.load()
        if state is None or state.get("token") != staged.get("token"):
            answered = _answered_before(home, staged)
            if answered is not None:
                return answered
        state = work.expect(staged)
        if state["step"] != SIGNED:
            client = home.ledger_client()
            known = known_state(client, progress)
            opinion = heard_opinion(work, state)
            before = previous_version(home.open_store(), known, work.dataset)
            now = parse_manifest((work.version / "manifest.json").read_bytes())
            if before is not None and not force and _unchanged(before.manifest, now, state):
                fact = known.dataset(work.dataset)
                withdrawn = fact is not None and before.version in fact.withdrawn
                return _nothing_new(work, state, before.version, withdrawn=withdrawn)
            state["told_parts"] = _carried(None if before is None else before.manifest, now)
            _sign(work, client, known, state, (opinion or {}).get("external", []))
        return finish(work, progress)


def finish(work: Work, progress: Progress | None = None) -> RunResult:
    """Bring a signed version into the ledger and the store; safe to repeat.

    Args:
        work: a staging whose step is ``signed``; the caller holds its lock.
        progress: told what happens.

    Raises:
        LedgerRefused: the ledger's rules refuse it; the staging is thrown away.
    """
    progress = progress or NullProgress()
    home = work.home
    state = work.load() or {}
    target = work.store.place(work.dataset, int(state["version"]))
    if work.version.exists():
        progress.step("notarise", f"{work.dataset}@{state['version']}")
        try:
            _hold(work)
            _prove(work, state)
            _publish(work, int(state["version"]))
        except (LedgerUnavailable, TransientSourceError) as error:
            progress.warn(f"proof pending: {error.message}")
            return _result(state, pending=True)
        except LedgerRefused:
            if state.get("index") is None:
                work.discard()
            raise
    result = _result(state, path=target)
    _remember(home, state, result)
    work.discard()
    progress.done(f"entry {state['index']}")
    return result


def resume(home: Home, progress: Progress | None = None) -> list[RunResult]:
    """Finish every version of a home that waits for its proof.

    Args:
        home: the owner's.
        progress: told what happens.

    Returns:
        A result each; ``pending`` where the ledger still can't be reached.
    """
    results = []
    for work in unfinished(home):
        with home.lock(work.dataset):
            if work.step == SIGNED:
                results.append(finish(work, progress))
    return results


def _sign(
    work: Work,
    client: LedgerClient,
    known: State,
    state: dict[str, Any],
    external: list[dict[str, Any]],
) -> None:
    """Fix number and predecessor, sign, and tell so durably."""
    home = work.home
    before = known.dataset(work.dataset)
    manifest = parse_manifest((work.version / "manifest.json").read_bytes())
    manifest = replace(
        manifest,
        version=1 if before is None else before.version + 1,
        quality=(*manifest.quality, *(QualityItem(**rule) for rule in external)),
    )
    state["rules"] = [*state["rules"], *external]
    work.store.settle(work.version, manifest)
    data = manifest.to_bytes()
    directory.write_whole(work.version / "manifest.json", data)
    payload = ledger.dataset_statement(
        client.origin,
        manifest.dataset,
        manifest.version,
        root_hex=manifest.root.hex(),
        contract=(manifest.contract.version, manifest.contract.sha256.hex()),
        previous_hex=None if before is None else before.statement_hex,
        inputs=[(item.dataset, item.version, item.statement.hex()) for item in manifest.inputs],
        manifest_sha256_hex=sha256_hex(data),
    )
    directory.write_whole(work.version / "statement.json", sign_envelope(payload, [home.signer()]))
    directory.sync_folder(work.version)
    state.update(
        step=SIGNED,
        version=manifest.version,
        root=manifest.root.hex(),
        contract=[manifest.contract.version, manifest.contract.sha256.hex()],
        index=None,
    )
    work.save(state)


def _hold(work: Work) -> None:
    """Let a signed version go whose parts were taken from the store: it can't be published."""
    manifest = parse_manifest((work.version / "manifest.json").read_bytes())
    try:
        work.store.settle(work.version, manifest)
    except ConfigError as error:
        if error.code == "staging":
            work.discard()
        raise


def _prove(work: Work, state: dict[str, Any]) -> None:
    """Submit and fetch the receipt."""
    client = work.home.ledger_client()
    version, digest = state["contract"]
    if state.get("index") is None:
        known = client.sync()
        if known.stated(work.dataset, int(state["version"])) is None:
            state_contract(work.home, client, (work.dataset, version, digest), known)
    # Submitted again it gives its index again: another one where the log was rebuilt meanwhile.
    index = client.submit((work.version / "statement.json").read_bytes())
    if index != state.get("index"):
        state["index"] = index
        work.save(state)
    receipt = client.receipt(int(state["index"]))
    directory.write_whole(work.version / "receipt.tlog-proof", receipt)


def _publish(work: Work, version: int) -> None:
    """Let the version appear: the rejects first, by one rename, then the version itself."""
    aside = work.home.quarantine / work.dataset / f"{version}.parquet"
    if work.quarantine.exists():
        aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _tell_release(work, aside.parent, version)
        work.quarantine.replace(aside)
        directory.sync_folder(aside.parent)
    drop_attempt(work)
    work.store.publish(work.version, work.dataset, version)


def _tell_release(work: Work, folder: Path, version: int) -> None:
    """Tell beside the rejects of the version before what came of them with this one."""
    if work.release.exists():
        told = json.loads(work.release.read_bytes())
        told |= {"by": version, "at": format_time(dt.datetime.now(dt.UTC))}
        directory.write_whole(folder / f"{told['version']}.release.json", json.dumps(told).encode())


def _unchanged(before: Manifest, now: Manifest, state: dict[str, Any]) -> bool:
    """Whether what was written says the same as the newest version."""
    only_checked = set(state.get("only_checked", ()))
    return _says(before, only_checked) == _says(now, only_checked)


def _carried(before: Manifest | None, now: Manifest) -> dict[str, int]:
    """How many parts are those of the version before: only these have its roots, for the salts."""
    old = set() if before is None else {part.root for part in before.parts}
    carried = sum(part.root in old for part in now.parts)
    return {"carried": carried, "written": len(now.parts) - carried}


def _says(manifest: Manifest, only_checked: set[str]) -> tuple[object, ...]:
    """What makes a version a new one: contract, contents, and what it was made from."""
    return (
        manifest.contract.sha256,
        [part.content for part in manifest.parts],
        [
            (item.dataset, item.version, item.statement)
            for item in manifest.inputs
            if item.dataset not in only_checked
        ],
    )


def _nothing_new(work: Work, state: dict[str, Any], standing: int, *, withdrawn: bool) -> RunResult:
    notes = [f"nothing changed since {work.dataset}@{standing}, so nothing is published"]
    kept = keep_attempt(work, UNCHANGED, state["extracted"])
    if kept:
        notes.append(kept)
    if withdrawn:
        notes.append("that version is withdrawn; --force publishes the same records again")
    result = replace(
        _result({**state, "version": None, "root": None}),
        standing=standing,
        notes=tuple(notes),
    )
    full = (state.get("incremental") or {}).get("how") == "full"
    _remember(work.home, state, result, held_to=None if kept and full else state["inputs"])
    work.discard()
    return result


def _answered_before(home: Home, staged: Staged) -> RunResult | None:
    """The result of a step that ended, but whose answer was lost, so that it is asked again."""
    dataset = str(staged["dataset"])
    known = last_run(home, dataset)
    if known is None or known.get("token") != staged.get("token"):
        return None
    version = known["version"]
    path = None if version is None else home.open_store().place(dataset, version)
    known["told_parts"] = known.get("parts")
    return replace(_result({**staged, **known}, path=path), standing=known["standing"])


def _remember(
    home: Home,
    state: dict[str, Any],
    result: RunResult,
    held_to: list[dict[str, Any]] | None = None,
) -> None:
    """Keep a run's answer, and which inputs it held a standing version to that says the same."""
    if state.get("columns"):
        remember_columns(home, str(state["dataset"]), state["columns"])
    kept = {"standing": result.standing, "token": state["token"], "held_to": held_to}
    remember_run(home, {**result.to_json(), **kept})


def _result(
    state: dict[str, Any],
    *,
    pending: bool = False,
    path: Place | None = None,
    notes: tuple[str, ...] = (),
) -> RunResult:
    return RunResult(
        dataset=str(state["dataset"]),
        version=state.get("version"),
        pending=pending,
        records=int(state["records"]),
        quarantined=int(state["quarantined"]),
        warned=int(state["warned"]),
        root=state.get("root"),
        index=state.get("index"),
        path=None if path is None else str(path),
        rules=state["rules"],
        seconds=max(0.0, time.time() - float(state["began"])),
        standing=state.get("version"),
        notes=notes,
        drift=state.get("drift", ()),
        alerts=state.get("alerts", ()),
        released=state.get("released"),
        incremental=state.get("incremental"),
        parts=state.get("told_parts"),
    )
