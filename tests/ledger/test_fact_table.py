"""Facts that wait in memory for the seal, and what else waits for the head: found at once, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import LedgerUnavailable
from zhixin_ledger import fact_table, facts, merkle
from zhixin_ledger.fact_table import FactTable
from zhixin_ledger.facts import ContractFact
from zhixin_ledger.store import MemoryStore, SqliteStore, Stated


class CountingStore(MemoryStore):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[list[tuple[int, str, bytes]]] = []

    def put_facts(self, facts):
        self.written.append(facts)
        super().put_facts(facts)


def contract(name: int, entry: int) -> ContractFact:
    return ContractFact(f"faa.gov.example/d{name}", "1.0.0", "c0" * 32, entry)


def sqlite_store() -> SqliteStore:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SqliteStore.SCHEMA)
    return SqliteStore(connection)


def test_a_fact_that_changes_often_in_a_block_is_written_once():
    store = CountingStore()
    table = FactTable(store, 0)
    for entry in range(50):
        table.put(contract(entry % 2, entry))
        assert table.get(f"contract faa.gov.example/d{entry % 2}")[1].entry == entry
    assert store.written == []
    root = table.root()
    assert [[row[:2] for row in rows] for rows in store.written] == [
        [(0, "contract faa.gov.example/d0"), (1, "contract faa.gov.example/d1")]
    ]
    assert table.root() == root
    assert len(store.written) == 1


@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=60),
    st.sampled_from([1, 2, 4, 4096]),
    st.sampled_from([MemoryStore, sqlite_store]),
)
def test_however_much_is_kept_facts_and_root_are_the_same(steps, kept, make):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fact_table, "_KEPT", kept)
        store = make()
        table, slots = FactTable(store, 0), {}
        for entry, (name, seal) in enumerate(steps):
            fact = contract(name, entry)
            slots[fact.key] = (slots.get(fact.key, (len(slots),))[0], fact)
            table.put(fact)
            assert max(len(table._changed), len(table._kept)) <= max(kept, 1)
            assert table.get(fact.key) == slots[fact.key]
            if seal:
                leaves = [facts.leaf_data(item) for _, item in sorted(slots.values(), key=_slot)]
                assert table.root() == merkle.root(map(merkle.leaf_hash, leaves))
        assert table.count == len(slots)
        assert table.get("contract faa.gov.example/none") is None
        told = [(slot, fact_table.parse_stored(data)) for slot, data in table.facts("contract ")]
        assert told == sorted(slots.values(), key=_slot)
        again = FactTable(store, len(slots))
        assert {key: again.get(key) for key in slots} == slots
        assert table.root() == again.root()


def _slot(kept) -> int:
    return kept[0]


def test_payloads_and_versions_are_found_at_once_and_last_from_the_next_head_on():
    store = sqlite_store()
    stated = Stated(7, b"s" * 32, b"m" * 32)
    store.put_payload(b"p" * 32, 7)
    store.put_stated("a.b/c", 1, stated)
    beside = SqliteStore(store._db)
    assert (store.payload(b"p" * 32), store.stated("a.b/c", 1)) == (7, stated)
    assert (beside.payload(b"p" * 32), beside.stated("a.b/c", 1)) == (None, None)
    store.put_head(b"{}")
    for each in (store, beside):
        assert (each.payload(b"p" * 32), each.stated("a.b/c", 1)) == (7, stated)
    store._db.close()


def test_what_waits_for_a_head_is_bounded(monkeypatch):
    monkeypatch.setattr("zhixin_ledger.store._WAITING", 3)
    store = sqlite_store()
    for index in range(10):
        store.put_payload(bytes([index]) * 32, index)
        store.put_stated("a.b/c", index, Stated(index, b"s" * 32, b"m" * 32))
        assert len(store._payloads) < 3
        assert len(store._stated) <= 3
    assert [store.payload(bytes([index]) * 32) for index in range(10)] == list(range(10))
    assert store.stated("a.b/c", 4).index == 4
    store._db.close()


def test_a_payload_twice_is_damage():
    store = sqlite_store()
    with closing(store._db):
        store.put_payload(b"p" * 32, 1)
        store.put_head(b"{}")
        store.put_payload(b"p" * 32, 2)
        with pytest.raises(LedgerUnavailable):
            store.put_head(b"{}")
