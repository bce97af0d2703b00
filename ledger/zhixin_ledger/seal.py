"""The seal: the last entry of every block (docs/formats.md, "Seal").

::

    {"seal":{"facts":"6","first":"0","height":"0","previous":null,"state":"c2cc…",
     "time":"2026-02-03T15:38:23.501576Z"}}

A block is a run of entries closed by a seal: how many facts there are, the block's first entry, its
height, H of the seal before (null in block 0), the state root after the block, and a time that
never goes back. Block 0 is genesis and its seal alone. Only the engine writes seals.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import encoding
from zhixin_ledger.state import SealMark, State

__all__ = ["Seal", "apply_seal", "format_seal", "is_seal", "make_seal", "parse_seal"]


@dataclass(frozen=True, slots=True)
class Seal:
    """What a seal says.

    Args:
        facts: number of facts after the block.
        first: index of the block's first entry.
        height: the block's number, from 0.
        previous_hex: H of the seal before; None in block 0.
        state_hex: state root after the block.
        time: as text; texts of this form order as times do.
    """

    facts: int
    first: int
    height: int
    previous_hex: str | None
    state_hex: str
    time: str


def is_seal(entry: bytes) -> bool:
    """Say whether an entry is a seal, in good form or not: a JSON object with a member `seal`."""
    if b'"seal"' not in entry and b"\\" not in entry:
        return False
    try:
        value = json.loads(entry)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "seal" in value


def parse_seal(entry: bytes) -> Seal:
    """Read a seal's bytes.

    Raises:
        FormatError: another form.
    """
    (body,) = encoding.members(encoding.parse_jcs(entry, "seal"), "seal", ("seal",))
    facts, first, height, previous, state, time = encoding.members(
        body, "seal", ("facts", "first", "height", "previous", "state", "time")
    )
    encoding.parse_time(time, "seal's time")
    return Seal(
        encoding.parse_uint(facts, "seal's facts"),
        encoding.parse_uint(first, "seal's first"),
        encoding.parse_uint(height, "seal's height"),
        None if previous is None else encoding.check_hex(previous, "seal's previous"),
        encoding.check_hex(state, "seal's state"),
        encoding.as_text(time, "seal's time"),
    )


def format_seal(seal: Seal) -> bytes:
    """Give a seal's bytes."""
    return encoding.jcs(
        {
            "seal": {
                "facts": str(seal.facts),
                "first": str(seal.first),
                "height": str(seal.height),
                "previous": seal.previous_hex,
                "state": seal.state_hex,
                "time": seal.time,
            }
        }
    )


def make_seal(state: State, now: datetime) -> bytes:
    """Make the seal of the block that is open, at `now` or the last seal's time if that is later.

    Raises:
        LedgerRefused: `seal`: the block is empty.
    """
    if state.open_first == state.size:
        raise LedgerRefused("an empty block is not sealed", code="seal")
    time, mark = encoding.format_time(now), state.seal
    if mark is not None:
        time = max(time, mark.time)
    return format_seal(
        Seal(
            state.fact_count,
            state.open_first,
            0 if mark is None else mark.height + 1,
            None if mark is None else mark.hash_hex,
            state.state_root().hex(),
            time,
        )
    )


def apply_seal(state: State, entry: bytes) -> int:
    """Hold a seal to the state before it and take it in; gives its index.

    Raises:
        LedgerRefused: `seal`: its form, place, height, previous or time; `state`: its state root or
            number of facts.
    """
    try:
        seal = parse_seal(entry)
    except FormatError as fault:
        raise LedgerRefused(f"the seal is malformed: {fault.message}", code="seal") from fault
    mark = state.seal
    if state.open_first == state.size:
        raise LedgerRefused("the block is empty", code="seal")
    if seal.first != state.open_first:
        raise LedgerRefused("`first` is not the block's first entry", code="seal")
    if seal.height != (0 if mark is None else mark.height + 1):
        raise LedgerRefused("the height does not follow on", code="seal")
    if seal.previous_hex != (None if mark is None else mark.hash_hex):
        raise LedgerRefused("`previous` is not the seal before", code="seal")
    if mark is not None and seal.time < mark.time:
        raise LedgerRefused("the time goes back", code="seal")
    if seal.facts != state.fact_count or seal.state_hex != state.state_root().hex():
        raise LedgerRefused("the state root is not that of the entries", code="state")
    return state.advance_seal(
        entry, SealMark(seal.height, seal.time, encoding.sha256_hex(entry), seal.state_hex)
    )
