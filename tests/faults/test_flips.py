"""One bit of one byte wrong, in a sample of the places that `make faults` goes through: found.

Also what the exact rule is: of a database a flip may go unfound only where no row is read from, and
of a checkpoint only where it makes a surplus cosignature a stranger's.
"""

from __future__ import annotations

import pytest
import world
from flips import KINDS, flipped, lay_ledger, run
from zhixin_ledger.audit import audit
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import CHECKPOINT

EVERY = {"ledger": 23, "full tiles": 40, "databases": 13, "proofs": 41}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_flip_is_found(kind):
    results = run(kind, EVERY[kind])
    assert [(item.name, item.missed) for item in results if item.missed] == []
    assert all(item.found > 0 for item in results), results


@pytest.mark.slow
def test_a_flip_in_a_surplus_cosignature_at_most_makes_it_a_strangers(tmp_path):
    lay_ledger(tmp_path)
    folder = tmp_path / world.OPERATOR / "log"
    with world.open_client(tmp_path, world.OWNER) as client:
        client.refresh()  # now all four members' lines are there, one more than is due
    path = folder / CHECKPOINT
    data = path.read_bytes()
    assert len(Note.parse(data).signatures) == 2 + world.QUORUM
    for place in range(len(data)):
        path.write_bytes(flipped(data, place, place * 5 % 8))
        if audit(folder).ok:
            note = Note.parse(path.read_bytes())
            assert note.text == Note.parse(data).text
            good = set(note.signatures) & set(Note.parse(data).signatures)
            assert len(good) == 1 + world.QUORUM
