"""Reading part by part, and only the parts and columns that are asked for: the same guarantees."""

import hashlib
import json
import threading
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zhixin_errors import ConfigError, VerificationError
from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets.manifest import part_name
from zhixin_gateway.gate import parts, query
from zhixin_gateway.gate.files import LocalDirectory

SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("text", pa.string()),
        ("place", pa.struct([("x", pa.float64()), ("name", pa.string())])),
        ("names", pa.list_(pa.field("element", pa.string()))),
        ("a.b", pa.int64()),
    ]
)
ROWS = [
    {
        "n": n,
        "text": None if n == 7 else f"text {n}",
        "place": {"x": n / 2, "name": f"p{n}"},
        "names": [f"a{n}", None],
        "a.b": -n,
    }
    for n in range(15)
]


@pytest.fixture
def publish(world, monkeypatch):
    """A function that publishes a version of five parts of three records."""
    monkeypatch.setattr(hashing, "MAX_RECORDS", 3)

    def make(alter=None):
        batch = pa.RecordBatch.from_pylist(ROWS, SCHEMA)
        return world.publish("many", [batch], key=["n"], alter=alter)

    return make


@pytest.fixture
def version(publish):
    """A version of five parts of three records."""
    return publish()


@pytest.fixture
def opened(monkeypatch):
    """Names of the parts that were opened, in order."""
    names, real = [], LocalDirectory.open

    def open_it(self, name):
        if name.startswith("part-"):
            names.append(name)
        return real(self, name)

    monkeypatch.setattr(LocalDirectory, "open", open_it)
    return names


def stated(path, part):
    """What the owner would state of a part that was changed."""
    data = path.read_bytes()
    return replace(part, size_bytes=len(data), sha256=hashlib.sha256(data).digest())


def no_threads():
    return not [item for item in threading.enumerate() if item.name.startswith("zhixin-part")]


# Part by part.


def test_the_first_batch_is_out_before_the_last_part_is_read(version, world, opened):
    dataset = world.open(version, streaming=True)
    assert opened == []
    assert [dataset.verdict.status(row) for row in ("part-digest", "root", "record")] == [
        "skipped", "passed", "skipped",
    ]  # fmt: skip
    batches = dataset.batches()
    assert opened == []
    assert next(batches).column("n").to_pylist() == [0, 1, 2]
    assert set(opened) <= {part_name(0), part_name(1)}
    assert [n for batch in batches for n in batch.column("n").to_pylist()] == list(range(3, 15))
    assert opened == [part_name(number) for number in range(5)]


def test_all_that_needs_no_part_is_judged_before_any(version, world):
    for name, code in (("contract.yaml", "contract"), ("statement.json", "malformed")):
        data = (version / name).read_bytes()
        (version / name).write_bytes(b"x" + data)
        with pytest.raises(VerificationError) as caught:
            world.open(version, streaming=True)
        assert caught.value.code == code
        (version / name).write_bytes(data)
    with pytest.raises(VerificationError) as caught:
        world.open(version, streaming=True, unsafe_no_standing=False)
    assert caught.value.code == "stale"
    (version / part_name(4)).unlink()
    with pytest.raises(VerificationError) as caught:
        world.open(version, streaming=True)
    assert caught.value.code == "part-missing"


def flip(path):
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])


def grow(path):
    path.write_bytes(path.read_bytes() + b"\0")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def link(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def remove(path):
    path.unlink()


def replace_by_another(path):
    path.write_bytes((path.parent / part_name(0)).read_bytes())


def rewrite(path):
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "n", pa.array([98, 99, 100])), path, store_schema=False)


TAMPERING = [flip, grow, cut, link, remove, replace_by_another, rewrite]


@pytest.mark.parametrize("columns", [None, ["text"]], ids=["all", "one column"])
@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
def test_a_later_part_that_fails_ends_the_reading_and_gives_no_row(tamper, columns, version, world):
    dataset = world.open(version, streaming=True)
    tamper(version / part_name(2))
    given = []
    with pytest.raises(VerificationError) as caught:
        given += (batch.num_rows for batch in dataset.batches(columns))
    assert caught.value.code == "part-digest"
    assert part_name(2) in caught.value.message
    assert given == [3, 3]
    assert no_threads()
    for read in (dataset.to_arrow, dataset.to_pandas, lambda: dataset.sql("from many")):
        with pytest.raises(VerificationError) as caught:
            read()
        assert caught.value.code == "part-digest"


def test_a_part_that_its_owner_states_but_that_is_no_part_gives_no_row(publish, world):
    def narrow(path, part):
        if path.name != part_name(1):
            return part
        pq.write_table(pa.table({"n": [3, 4, 5]}), path, store_schema=False)
        return stated(path, part)

    dataset, given = world.open(publish(narrow), streaming=True), []
    with pytest.raises(VerificationError) as caught:
        given += (batch.num_rows for batch in dataset.batches())
    assert caught.value.code == "record"
    assert given == [3]


def test_deep_recomputes_a_parts_tree_before_its_records_are_given(publish, world):
    def another_key(path, part):
        return replace(part, salt_key=bytes(32)) if path.name == part_name(3) else part

    version = publish(another_key)
    assert world.open(version, streaming=True).to_arrow().num_rows == 15
    for columns in (None, ["names", "n"]):
        given, dataset = [], world.open(version, streaming=True, deep=True)
        with pytest.raises(VerificationError) as caught:
            given += (batch.num_rows for batch in dataset.batches(columns))
        assert caught.value.code == "record"
        assert part_name(3) in caught.value.message
        assert given == [3, 3, 3]
    with pytest.raises(VerificationError) as caught:
        world.open(version, deep=True)
    assert caught.value.code == "record"


def test_a_reading_that_is_let_go_leaves_neither_thread_nor_copy(version, world, monkeypatch):
    monkeypatch.setattr("zhixin_gateway.gate.files.COPY_IN_MEMORY_BYTES", 10)
    batches = world.open(version, streaming=True).batches()
    next(batches)
    batches.close()
    assert no_threads()


def test_reading_ahead_gives_what_reading_part_by_part_gives(version, world):
    want = pa.Table.from_pylist(ROWS, SCHEMA)
    for options in ({}, {"streaming": True}, {"streaming": True, "deep": True}, {"threads": 1}):
        assert world.open(version, **options).to_arrow() == want


# Only what is asked for.


@pytest.mark.parametrize(
    "columns", [["n"], ["names"], ["place"], ["a.b"], ["text", "n"], SCHEMA.names[::-1]]
)
@pytest.mark.parametrize("streaming", [False, True])
def test_gives_the_columns_that_are_asked_for_in_their_order(columns, streaming, version, world):
    dataset = world.open(version, streaming=streaming)
    want = pa.Table.from_pylist(ROWS, SCHEMA).select(columns)
    assert dataset.to_arrow(columns) == want
    assert dataset.reader(columns).read_all() == want
    assert list(dataset.to_pandas(columns).columns) == columns


@pytest.mark.parametrize("columns", [[], ["nothing"], ["n", "n"], ["place.x"]])
def test_refuses_columns_that_are_none(columns, version, world):
    with pytest.raises(ConfigError) as caught:
        world.open(version).to_arrow(columns)
    assert caught.value.code == "columns"
    assert "a.b" in caught.value.hint


def test_gives_the_parts_that_are_asked_for_and_reads_no_other(version, world, opened):
    dataset = world.open(version, streaming=True)
    assert dataset.to_arrow(["n"], parts=[3, 0])["n"].to_pylist() == [9, 10, 11, 0, 1, 2]
    assert opened == [part_name(3), part_name(0)]
    assert dataset.to_arrow(parts=[]).num_rows == 0
    for numbers in ([5], [-1], [1, 1]):
        with pytest.raises(ConfigError) as caught:
            dataset.to_arrow(parts=numbers)
        assert caught.value.code == "parts"
        assert "numbered from 0" in caught.value.hint


def test_a_part_that_is_not_asked_for_may_be_anything_where_parts_are_judged_as_they_are_read(
    version, world
):
    flip(version / part_name(1))
    dataset = world.open(version, streaming=True)
    assert dataset.to_arrow(parts=[0, 2]).num_rows == 6
    with pytest.raises(VerificationError):
        dataset.to_arrow(parts=[1])
    with pytest.raises(VerificationError):
        world.open(version)


def broken_page(column):
    """Break the values of a column in the second part; its owner states the broken bytes."""

    def alter(path, part):
        if path.name != part_name(1):
            return part
        table = pq.read_table(path)
        pq.write_table(table, path, store_schema=False, compression="none", use_dictionary=False)
        chunk = pq.read_metadata(path).row_group(0).column(SCHEMA.names.index(column))
        data = bytearray(path.read_bytes())
        end = chunk.data_page_offset + chunk.total_compressed_size
        data[end - 16 : end] = b"\xff" * 16
        path.write_bytes(data)
        return stated(path, part)

    return alter


def test_what_is_not_asked_for_is_not_decoded(publish, world):
    dataset = world.open(publish(broken_page("text")))
    assert dataset.to_arrow(["n", "place"]).num_rows == 15
    for read in (dataset.to_arrow, lambda: dataset.to_arrow(["text"])):
        with pytest.raises(VerificationError) as caught:
            read()
        assert caught.value.code == "record"


# SQL.


@pytest.mark.parametrize(
    ("sql", "columns", "answer"),
    [
        ("select max(n) from t", {"n"}, 14),
        ("select n from t where text = 'text 4'", {"n", "text"}, 4),
        ("select count(*) from t where text is null", {"n", "text"}, 1),
        ("select count(*) from t", 1, 15),
        ("select n from t where place.name = 'p9'", {"n", "place"}, 9),
        ("select place.x from t where n = 3", {"n", "place"}, 1.5),
        ('select sum("a.b") from t', {"a.b"}, -105),
        ('select n from t where n between 5 and 6 and "a.b" in (-6, 1)', {"n", "a.b"}, 6),
        ("select a.n from t a join t b on a.n = b.n where b.text = 'text 5'", {"n", "text"}, 5),
        ("select count(*) from (select * from t)", 1, 15),
        ("select n from t where names[1] = 'a11'", {"n", "names"}, 11),
    ],
)
def test_a_query_reads_only_the_columns_that_it_needs(sql, columns, answer, version, world):
    dataset, read = world.open(version), set()

    class Watched:
        schema = dataset.schema

        def batches(self, columns=None):
            read.update(self.schema.names if columns is None else columns)
            return dataset.batches(columns)

    answered = query(sql, {"t": Watched()}).read_all()
    assert [list(row.values()) for row in answered.to_pylist()] == [[answer]]
    assert read == columns if isinstance(columns, set) else len(read) == columns


def test_a_query_over_everything_gives_everything(version, world):
    dataset = world.open(version, streaming=True)
    assert dataset.sql("select * from many order by n").to_pylist() == ROWS


def test_a_query_that_needs_no_broken_column_is_answered(publish, world):
    dataset = world.open(publish(broken_page("text")))
    assert dataset.sql("select sum(n) as n from many").to_pylist() == [{"n": 105}]
    with pytest.raises(VerificationError) as caught:
        dataset.sql("select n from many where text = 'text 4'")
    assert caught.value.code == "record"


# The command.


@pytest.fixture
def cat(version, world, capsys):
    """A function that runs `zhixin cat` on the version: exit code and output."""
    from zhixin_gateway import cli
    from zhixin_ledger.trust import save_trust

    save_trust(world.trust(), world.folder / "trust")

    def run(*options):
        capsys.readouterr()
        given = ["--trust", str(world.folder / "trust"), "--unsafe-no-standing", *options]
        return cli.main(["cat", str(version), *given]), capsys.readouterr().out

    return run


def test_cat_prints_only_what_is_asked_for(cat):
    code, out = cat("--column", "text", "--column", "n", "--part", "2", "--format", "json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"text": f"text {n}" if n != 7 else None, "n": n} for n in (6, 7, 8)
    ]
    assert cat("--column", "nothing")[0] == 2
    assert cat("--column", "n", "--sql", "from many")[0] == 2


def test_cat_streaming_prints_what_held_and_ends_with_the_refusal(cat, version):
    flip(version / part_name(1))
    assert cat("--column", "n") == (1, "")
    assert cat("--column", "n", "--streaming") == (1, "n\n0\n1\n2\n")


def test_columns_are_read_from_a_copy_as_all_are(version, world, monkeypatch):
    dataset, real = world.open(version, streaming=True), parts.copy_part

    def swapped(files, name, size, sha256, stop):
        copied = real(files, name, size, sha256, stop)

        class Then:
            def __enter__(self):
                copy = copied.__enter__()
                (version / name).write_bytes(b"swapped")
                return copy

            def __exit__(self, *error):
                return copied.__exit__(*error)

        return Then()

    monkeypatch.setattr(parts, "copy_part", swapped)
    assert dataset.to_arrow(["n"])["n"].to_pylist() == list(range(15))
