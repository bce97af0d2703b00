"""The state's own parts: facts as bytes, the record it is taken up from, damage told."""

from __future__ import annotations

import gc
import sqlite3
import weakref

import pytest
from zhixin_errors import FormatError, LedgerUnavailable
from zhixin_ledger import admission, database, encoding, facts, files, locks
from zhixin_ledger.facts import DatasetFact, LedgerFact
from zhixin_ledger.state import State
from zhixin_ledger.store import MemoryStore, SqliteStore

GOOD = {
    "fact": "dataset",
    "dataset": "a.gov.example/x",
    "version": "3",
    "statement": "0f" * 32,
    "entry": "9",
    "withdrawn": ["1", "2"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"fact": "grant"},
        {"version": "0"},
        {"version": 3},
        {"dataset": "x"},
        {"statement": "0F" * 32},
        {"withdrawn": ["2", "1"]},
        {"withdrawn": ["1", "1"]},
        {"withdrawn": ["0"]},
        {"withdrawn": "1"},
        {"surplus": "x"},
        {"entry": "01"},
    ],
)
def test_a_datasets_fact_has_one_form(change):
    fact = facts.parse_fact(GOOD)
    assert isinstance(fact, DatasetFact)
    assert fact.to_json() == GOOD
    with pytest.raises(FormatError):
        facts.parse_fact({**GOOD, **change})


@pytest.mark.parametrize(
    "change", [{"standing": "away"}, {"titles": {"en": "x"}}, {"logs": None}, {"logs": [{}]}]
)
def test_a_members_fact_has_one_form(vector_entries, change):
    state = State()
    admission.apply(state, vector_entries[0]["entry"])
    member = next(iter(state.members.values())).to_json()
    assert facts.parse_fact(member).to_json() == member
    with pytest.raises(FormatError):
        facts.parse_fact({**member, **change})


def test_a_fact_is_no_list():
    with pytest.raises(FormatError):
        facts.parse_fact(["fact"])


def test_a_state_is_taken_up_where_it_was_left(vector_entries):
    store = MemoryStore()
    state = State(store)
    for number, line in enumerate(vector_entries):
        admission.apply(state, line["entry"])
        if "tree_root" in line and number % 3 == 0:
            state.save()
            state = State(store)
            assert state.root.hex() == line["tree_root"]
            assert state.state_root().hex() == line["state_root"]
            assert state.sealed
    assert state.size == len(vector_entries)


def test_an_empty_state_has_nothing():
    state = State()
    assert (state.size, state.origin, state.quorum, state.sealed) == (0, None, 0, False)
    assert (state.ledger, state.seal, dict(state.members)) == (None, None, {})
    assert list(state.facts) == list(state.datasets()) == []
    assert state.dataset("a.b/c") is None
    assert state.state_root() == encoding.sha256(b"")
    with pytest.raises(KeyError):
        state.fact_path(LedgerFact("x", "1", 1, 0))
    state.save()
    assert State(state.store).seal is None


@pytest.mark.parametrize("head", [b"nonsense", b"{}", b'{"size":"1"}'])
def test_a_damaged_record_is_told(head):
    store = MemoryStore()
    store.put_head(head)
    with pytest.raises(LedgerUnavailable) as damaged:
        State(store)
    assert damaged.value.code == "ledger-damaged"


def test_a_seal_mark_of_another_form_is_damage():
    store = MemoryStore()
    state = State(store)
    state.save()
    store.put_head(store.head().replace(b'"seal":null', b'"seal":["1","2"]'))
    with pytest.raises(LedgerUnavailable):
        State(store)


def test_a_database_that_fails_is_told():
    connection = sqlite3.connect(":memory:")
    with pytest.raises(LedgerUnavailable) as damaged:
        SqliteStore(connection).head()
    assert damaged.value.code == "ledger-damaged"
    connection.close()


def test_no_version_is_beyond_what_sqlite_holds():
    connection = sqlite3.connect(":memory:")
    connection.executescript(SqliteStore.SCHEMA)
    store = SqliteStore(connection)
    assert store.stated("a.b/c", 1 << 63) is None
    assert store.stated("a.b/c", (1 << 63) - 1) is None
    connection.close()


def test_a_lock_is_held_by_one_alone(tmp_path):
    path = tmp_path / "lock"
    with locks.exclusive(path, 1):
        with pytest.raises(LedgerUnavailable) as busy, locks.exclusive(path, 0.03):
            pass
        assert busy.value.code == "ledger-busy"
    with locks.exclusive(path, 0):
        pass
    with pytest.raises(LedgerUnavailable) as away, locks.exclusive(tmp_path / "no" / "x", 0):
        pass
    assert away.value.code == "ledger-unwritable"


def test_what_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LedgerUnavailable) as refused:
        files.write_file(tmp_path / "file" / "tile", b"x")
    assert refused.value.code == "ledger-unwritable"


def test_a_file_that_is_no_database_is_closed_again(tmp_path, monkeypatch):
    opened = []

    def connect(*args, connect=sqlite3.connect, **kwargs):
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    (tmp_path / "log.sqlite").write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(LedgerUnavailable):
        database.Database(tmp_path / "log.sqlite")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_a_state_is_read_after_its_client_has_gone_and_then_closes_without_a_warning(tmp_path):
    kept = database.Database(tmp_path / "mirror.sqlite")
    kept.run(SqliteStore.SCHEMA)
    store = SqliteStore(kept.connection)
    del kept
    gc.collect()
    assert store.head() is None
    connection = weakref.ref(store._db)
    del store
    gc.collect()  # from Python 3.13 on a connection that is open here is a ResourceWarning
    assert connection() is None
