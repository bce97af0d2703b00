"""A log that serves other entries when it is read a second time: the copy stays as it was."""

from __future__ import annotations

from collections import Counter

import pytest
from zhixin_errors import LedgerRefused
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.standing import published as newest
from zhixin_ledger.tiles import DirectorySource, pack_entries, unpack_entries

PLANES = "faa.gov.example/planes"


class Changing(DirectorySource):
    """Serves each bundle well once, and with two entries exchanged from then on."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()

    def read(self, path: str) -> bytes | None:
        data = super().read(path)
        self.reads[path] += 1
        if data is None or not path.startswith("tile/entries/") or self.reads[path] == 1:
            return data
        width = int(path.rpartition("/")[2]) if ".p/" in path else 256
        entries = unpack_entries(data, width)
        return pack_entries([entries[0], entries[2], entries[1], *entries[3:]])


def published(world, *entries: bytes) -> None:
    client = world.client()
    for entry in entries:
        index = client.submit(entry)
    client.receipt(index)
    client.close()


def versions(world, count: int, start: int = 1, previous: bytes | None = None) -> list[bytes]:
    made = []
    for number in range(start, start + count):
        previous = world.version(PLANES, number, previous=previous)
        made.append(previous)
    return made


def test_a_copy_that_grows_past_a_bundle_keeps_what_it_had(world, tmp_path):
    first = [world.contract(PLANES), *versions(world, 3)]
    published(world, *first)
    source = DirectorySource(world.log_dir)
    mirror = Mirror(tmp_path / "copy")
    mirror.follow(newest(source), source)
    before = mirror.state().size
    root = mirror.state().root
    published(world, *versions(world, 130, 4, first[-1]))
    with pytest.raises(LedgerRefused) as refused:
        mirror.follow(newest(source), Changing(world.log_dir))
    assert refused.value.code == "tile"
    assert mirror.state().size == before
    assert mirror.tree().root() == root
    mirror.follow(newest(source), source)
    assert mirror.tree().root() == mirror.state().root
    mirror.close()
