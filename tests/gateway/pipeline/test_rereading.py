"""A source that changes between two readings gives no record the text of another."""

from __future__ import annotations

import pyarrow as pa
from zhixin_connectors.protocol import Extracted, Misfit
from zhixin_gateway.pipeline.rejects import ROW
from zhixin_gateway.pipeline.rereading import raw_texts

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string())])
TEXTS = pa.schema([pa.field("id", pa.string()), pa.field("name", pa.string())])


def extracted(first, rows, raws, misfits=()):
    def raw_source(chosen):
        return pa.RecordBatch.from_arrays(
            [pa.array([raws[at][i] for at in chosen], pa.string()) for i in range(2)],
            schema=TEXTS,
        )

    batch = pa.RecordBatch.from_pylist(
        [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA
    )
    return Extracted(batch, list(misfits), first, raw_source)


def kept(*rows):
    schema = SCHEMA.append(pa.field(ROW, pa.int64()))
    return iter(
        [
            pa.RecordBatch.from_pylist(
                [dict(zip(schema.names, row, strict=True)) for row in rows], schema
            )
        ]
    )


def told(source, records):
    found = []
    for rows, texts in raw_texts(source, records):
        assert texts.schema.names == ["id", "name"]
        found += zip(rows.tolist(), texts["id"].to_pylist(), texts["name"].to_pylist(), strict=True)
    return found


def test_gives_raw_texts_across_batches_where_nothing_changed():
    source = lambda: iter(  # noqa: E731
        [
            extracted(0, [(1, "a"), (2, "b")], [("01", "a"), ("2.0", "b")]),
            extracted(2, [(1, "c")], [("001", "c")]),
        ]
    )
    assert told(source, kept((1, "a", 0), (2, "b", 1), (1, "c", 2))) == [
        (0, "01", "a"),
        (1, "2.0", "b"),
        (2, "001", "c"),
    ]


def test_believes_no_text_of_a_record_that_reads_otherwise_now():
    source = lambda: iter(  # noqa: E731
        [extracted(0, [(9, "new"), (2, "b")], [("09", "new"), ("02", "b")])]
    )
    assert told(source, kept((1, "a", 0), (2, "b", 1))) == [(0, "1", "a"), (1, "02", "b")]


def test_believes_no_text_of_a_cell_that_can_not_be_read_now():
    misfit = Misfit(0, "name", "not a text", "?")
    source = lambda: iter([extracted(0, [(1, None)], [("1", "?")], [misfit])])  # noqa: E731
    assert told(source, kept((1, None, 0))) == [(0, "1", None)]


def test_loses_no_record_where_the_source_has_shrunk():
    source = lambda: iter([extracted(0, [(1, "a")], [("01", "a")])])  # noqa: E731
    assert told(source, kept((1, "a", 0), (1, 'q"é', 7))) == [(0, "01", "a"), (7, "1", 'q"é')]


def test_reads_nothing_where_nothing_is_asked():
    def source():
        raise AssertionError

    assert told(source, iter([])) == []
