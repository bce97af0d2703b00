import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_gateway.pipeline import rejects, sorting

REASONS = [rejects.Reason(f"rule {n}", f"f{n}", f"message {n}") for n in range(3)]


@given(
    broken=st.dictionaries(st.integers(0, 40), st.sets(st.integers(0, 2), min_size=1)),
    rejected=st.sets(st.integers(0, 40)),
)
@settings(max_examples=60, deadline=None)
def test_every_reject_stands_in_quarantine_with_every_reason(broken, rejected, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    rejected &= set(broken)
    pairs = rejects.ReasonPile(folder / "reasons")
    for rule in range(3):
        rows = np.array(sorted(row for row, rules in broken.items() if rule in rules), np.int64)
        pairs.add(rows, rule)
    pairs.close()
    pile = rejects.RejectPile(folder / "rejects", ["a"])
    for row in sorted(rejected, key=lambda row: -row):
        texts = pa.record_batch([pa.array([f"raw {row}"])], names=["a"])
        pile.add(np.array([row], np.int64), texts)
    pile.close()
    path = folder / "q.parquet"
    count = rejects.write_quarantine(
        path, pile.schema, folder / "rejects", folder / "reasons", REASONS
    )
    assert count == len(rejected)
    assert pq.read_table(path).to_pylist() == [
        {
            "_row": row,
            "_reasons": [REASONS[rule]._asdict() for rule in sorted(broken[row])],
            "a": f"raw {row}",
        }
        for row in sorted(rejected)
    ]


def test_many_warnings_between_rejects_are_not_kept(tmp_path):
    pairs = rejects.ReasonPile(tmp_path / "reasons")
    pairs.add(np.arange(300_000, dtype=np.int64), 1)
    pairs.add(np.array([299_999], dtype=np.int64), 2)
    pairs.close()
    finder = rejects._Finder(sorting.merged(tmp_path / "reasons", ["_row", "rule"]), REASONS)
    told = finder.reasons_of(np.array([5, 299_999], dtype=np.int64)).to_pylist()
    assert [[reason["rule"] for reason in reasons] for reasons in told] == [
        ["rule 1"],
        ["rule 1", "rule 2"],
    ]
    assert len(finder._rows) == 0


def test_many_rejects_keep_their_own_reasons(tmp_path):
    count = 20_000
    rows = np.arange(0, 3 * count, 3, dtype=np.int64)
    pairs = rejects.ReasonPile(tmp_path / "reasons")
    pairs.add(np.arange(3 * count, dtype=np.int64), 0)
    pairs.add(rows[::2], 1)
    pairs.close()
    pile = rejects.RejectPile(tmp_path / "rejects", ["a"])
    pile.add(rows, pa.record_batch([pa.array([f"raw {row}" for row in rows])], names=["a"]))
    pile.close()
    path = tmp_path / "q.parquet"
    done = rejects.write_quarantine(
        path, pile.schema, tmp_path / "rejects", tmp_path / "reasons", REASONS
    )
    assert done == count
    for at, row in enumerate(pq.read_table(path).to_pylist()):
        assert row["a"] == f"raw {row['_row']}"
        expected = ["rule 0", "rule 1"] if at % 2 == 0 else ["rule 0"]
        assert [why["rule"] for why in row["_reasons"]] == expected
