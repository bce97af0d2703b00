"""Reading: only what verified, from the very bytes that were hashed, in types that keep values."""

import datetime as dt
import decimal
import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zhixin_errors import ConfigError, VerificationError
from zhixin_gateway.datasets import hashing
from zhixin_gateway.gate import VerifiedDataset, checks, files, query, verify
from zhixin_gateway.gate.verify import Options, examine
from zhixin_gateway.progress import NullProgress

FLIGHTS = "land.gov.example/flights/2"
VECTORS = Path(__file__).parents[2] / "vectors"
DEEP = sorted(
    path
    for path in (VECTORS / "negative").glob("record-*.json")
    if not path.stem.startswith("record-record-proof")
)
# Faults that only recomputing the trees shows: the parts are what their owner stated, and decode.
ONLY_DEEP = {
    "record-content",
    "record-content-no-newline",
    "record-order",
    "record-salt-endian",
    "record-salt-from-1",
    "record-salt-key",
    "record-type-negative-zero",
    "record-type-normalised",
    "record-value",
}


def test_yields_every_record_in_the_manifests_types(lay_out):
    for base in ("land.gov.example/flights/3", "customs.gov.example/parcels/2"):
        case = lay_out({"base": base})
        dataset = case.open(unsafe_no_standing=True)
        table = dataset.to_arrow()
        assert table.schema == dataset.schema
        assert table.num_rows == dataset.records == len(dataset)
        parts = [pq.read_table(path) for path in sorted(case.folder.glob("*.parquet"))]
        assert table.to_pylist() == pa.concat_tables(parts).to_pylist()
        shutil.rmtree(case.folder.parents[2])
        shutil.rmtree(case.trust_folder)


def test_a_version_without_parts_is_an_empty_table(lay_out):
    dataset = lay_out({"base": "customs.gov.example/parcels/1"}).open(unsafe_no_standing=True)
    assert dataset.to_arrow().num_rows == 0
    assert list(dataset.to_pandas().columns) == dataset.schema.names
    assert dataset.sql("select count(*) as n from parcels").to_pylist() == [{"n": 0}]


def test_refuses_to_open_without_a_source_of_standing(lay_out):
    with pytest.raises(VerificationError) as caught:
        lay_out({"base": FLIGHTS}).open()
    assert caught.value.code == "stale"
    assert "unsafe_no_standing" in caught.value.message
    assert caught.value.details["checks"][-1] == {"name": "standing", "status": "failed"}


def test_opens_with_a_standing_that_holds(lay_out, vectors):
    dataset = lay_out(vectors / "standing" / "good-later.json").open()
    assert dataset.verdict.status("standing") == "passed"
    assert dataset.warnings == ()


def test_refuses_to_open_what_is_withdrawn_though_standing_may_be_left_out(lay_out, vectors):
    with pytest.raises(VerificationError) as caught:
        lay_out(vectors / "standing" / "withdrawn-own.json").open(unsafe_no_standing=True)
    assert caught.value.code == "withdrawn"


def test_says_loudly_that_standing_was_not_proved(lay_out):
    dataset = lay_out({"base": FLIGHTS}).open(unsafe_no_standing=True)
    assert any("standing is not" in warning for warning in dataset.warnings)


@pytest.mark.parametrize("expect", ["", "land.gov.example", "land.gov.example/flights@0", "@2"])
def test_wants_to_be_told_which_dataset_is_expected(expect, lay_out):
    case = lay_out({"base": FLIGHTS})
    with pytest.raises(ConfigError):
        case.open(expect=expect)


def test_nothing_but_a_good_verification_makes_a_verified_dataset(lay_out, world):
    case = lay_out({"base": FLIGHTS})
    examination = examine(case.folder, world.trust(), Options())
    assert examination.verdict.code == "log-signature"
    with pytest.raises(VerificationError):
        VerifiedDataset(examination)


def test_shows_no_contents_in_its_repr(lay_out):
    assert repr(lay_out({"base": FLIGHTS}).open(unsafe_no_standing=True)) == (
        "<VerifiedDataset land.gov.example/flights@2: 11 records>"
    )


@pytest.mark.parametrize("path", DEEP, ids=lambda path: path.stem)
def test_columns_and_values_are_checked_before_a_part_yields_a_row(path, lay_out):
    case = lay_out(path)
    if path.stem in ONLY_DEEP:
        assert case.open(unsafe_no_standing=True).to_arrow().num_rows > 0
        with pytest.raises(VerificationError) as caught:
            case.open(unsafe_no_standing=True, deep=True)
    else:
        with pytest.raises(VerificationError) as caught:
            next(case.open(unsafe_no_standing=True).batches())
    assert caught.value.code == "record"


def test_a_part_swapped_before_the_first_batch_yields_no_row(lay_out):
    case = lay_out({"base": FLIGHTS})
    dataset = case.open(unsafe_no_standing=True)
    shutil.copy(case.folder / "part-00001.parquet", case.folder / "part-00000.parquet")
    batches = dataset.batches()
    with pytest.raises(VerificationError) as caught:
        next(batches)
    assert caught.value.code == "part-digest"
    for read in (dataset.to_arrow, dataset.to_pandas, lambda: dataset.sql("from flights")):
        with pytest.raises(VerificationError) as caught:
            read()
        assert caught.value.code == "part-digest"


@pytest.mark.parametrize("change", ["removed", "link", "folder", "longer", "shorter", "bit"])
def test_whatever_happens_to_a_part_after_opening_is_refused(change, lay_out, tmp_path):
    case = lay_out({"base": FLIGHTS})
    dataset = case.open(unsafe_no_standing=True)
    part = case.folder / "part-00000.parquet"
    data = part.read_bytes()
    part.unlink()
    if change == "link":
        (tmp_path / "same").write_bytes(data)
        part.symlink_to(tmp_path / "same")
    elif change == "folder":
        part.mkdir()
    elif change != "removed":
        changed = {"longer": data + b"\0", "shorter": data[:-1], "bit": b"Q" + data[1:]}
        part.write_bytes(changed[change])
    with pytest.raises(VerificationError) as caught:
        dataset.to_arrow()
    assert caught.value.code == "part-digest"


def test_a_part_swapped_while_it_is_read_changes_nothing(lay_out):
    case = lay_out({"base": FLIGHTS})
    want = case.open(unsafe_no_standing=True).to_arrow().slice(0, 7)
    batches = case.open(unsafe_no_standing=True).batches()
    first = [next(batches)]
    (case.folder / "part-00000.parquet").write_bytes(b"swapped")
    got = pa.Table.from_batches(first)
    assert got.equals(want)


def test_a_swap_between_digest_and_deep_check_fails_the_row_of_the_digest(lay_out, monkeypatch):
    case = lay_out({"base": FLIGHTS, "deep": True})
    real = checks.check_root

    def swap(version):
        (case.folder / "part-00001.parquet").write_bytes(b"swapped")
        real(version)

    monkeypatch.setattr(checks, "check_root", swap)
    verdict = case.verify()
    assert verdict.code == "part-digest"
    assert [check.name for check in verdict.checks][-2:] == ["contract", "part-digest"]


def test_columns_of_every_part_are_checked_before_any_part_yields_a_row(world, monkeypatch):
    monkeypatch.setattr(hashing, "MAX_RECORDS", 3)

    def narrow_the_second(path, part):
        if path.name == "part-00001.parquet":
            table = pa.table({"n": pa.array([3, 4, 5], pa.int32())})
            pq.write_table(table, path, store_schema=False)
            data = path.read_bytes()
            part = replace(part, size_bytes=len(data), sha256=hashlib.sha256(data).digest())
        return part

    folder = world.publish(
        "two", [pa.RecordBatch.from_pydict({"n": range(6)})], alter=narrow_the_second
    )
    assert verify(folder, world.trust(), now=world.now).ok
    with pytest.raises(VerificationError) as caught:
        world.open(folder)
    assert caught.value.code == "record"
    assert "part-00001.parquet" in caught.value.message


def test_progress_is_told_of_every_record_once(world, monkeypatch):
    monkeypatch.setattr(hashing, "MAX_RECORDS", 3)
    folder = world.publish("two", [pa.RecordBatch.from_pydict({"n": range(5)})])

    class Counting(NullProgress):
        records = 0

        def advance(self, records):
            self.records += records

    for deep in (False, True):
        progress = Counting()
        assert verify(folder, world.trust(), now=world.now, deep=deep, progress=progress).ok
        assert progress.records == 5


def test_pandas_keeps_integers_exact_beside_nulls(world):
    schema = pa.schema(
        [
            ("big", pa.int64()),
            ("unsigned", pa.uint64()),
            ("money", pa.decimal128(38, 2)),
            ("at", pa.timestamp("us", tz="UTC")),
            ("names", pa.list_(pa.field("element", pa.string()))),
            ("place", pa.struct([("x", pa.float64()), ("y", pa.int64())])),
        ]
    )
    rows = [
        {
            "big": 2**53 + 1,
            "unsigned": 2**64 - 1,
            "money": decimal.Decimal("0.10"),
            "at": dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC),
            "names": ["a", None],
            "place": {"x": -0.0, "y": None},
        },
        dict.fromkeys(schema.names),
    ]
    folder = world.publish("odd", [pa.RecordBatch.from_pylist(rows, schema)])
    dataset = world.open(folder)
    frame = dataset.to_pandas()
    assert all(str(dtype).endswith("[pyarrow]") for dtype in frame.dtypes)
    assert frame["big"][0] == 2**53 + 1
    assert frame["unsigned"][0] == 2**64 - 1
    assert frame["money"][0] == decimal.Decimal("0.10")
    assert frame.isna().iloc[1].all()
    assert dataset.sql("select * from odd").to_pylist() == rows
    assert dataset.sql("select names[1] as n, place.y as y from odd").to_pylist() == [
        {"n": "a", "y": None},
        {"n": None, "y": None},
    ]


def test_any_arrow_library_reads_it_again_and_again(lay_out):
    dataset = lay_out({"base": FLIGHTS}).open(unsafe_no_standing=True)
    assert pa.table(dataset) == pa.table(dataset) == dataset.reader().read_all()


# SQL.


def test_joins_verified_datasets_as_often_as_the_query_names_them(world):
    numbers = pa.RecordBatch.from_pydict({"n": list(range(1000))})
    names = pa.RecordBatch.from_pydict({"n": [1, 2, 3], "name": ["a", "b", None]})
    tables = {
        f"{world.member}/{name}": world.open(world.publish(name, [batch]))
        for name, batch in (("numbers", numbers), ("names", names))
    }
    answer = query(
        'select a.n, count(*) as pairs, any_value(name) as name from "bts.gov.example/numbers" a '
        'join "bts.gov.example/numbers" b on b.n <= a.n '
        'join "bts.gov.example/names" c on c.n = a.n group by a.n order by a.n',
        tables,
    )
    assert answer.read_all().to_pylist() == [
        {"n": 1, "pairs": 2, "name": "a"},
        {"n": 2, "pairs": 3, "name": "b"},
        {"n": 3, "pairs": 4, "name": None},
    ]


def test_a_query_streams_and_spills_and_leaves_nothing_behind(world, tmp_path):
    rows = 400_000
    batch = pa.RecordBatch.from_pydict(
        {
            "n": pa.array(range(rows, 0, -1)),
            "text": pa.array([f"text {n}" * 5 for n in range(rows)]),
        }
    )
    dataset = world.open(world.publish("many", [batch]))
    spill = tmp_path / "spill"
    spill.mkdir()
    answer = query(
        'select * from "bts.gov.example/many" order by text, n',
        {dataset.dataset: dataset},
        memory_bytes=48 << 20,
        temp_directory=spill,
        batch_rows=10_000,
    )
    first = answer.read_next_batch()
    assert first.num_rows <= 10_000
    assert list(spill.iterdir())
    assert first.num_rows + sum(batch.num_rows for batch in answer) == rows
    assert list(spill.iterdir()) == []


def test_a_query_that_nobody_reads_leaves_nothing_behind(world, tmp_path):
    dataset = world.open(world.publish("few", [pa.RecordBatch.from_pydict({"n": [1]})]))
    answer = query("from t", {"t": dataset}, temp_directory=tmp_path)
    del answer
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from '{file}'",
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "select * from read_parquet('{folder}/*.parquet')",
        "select * from glob('{folder}/*')",
        "copy (select 1) to '{folder}/out.csv'",
        "attach '{folder}/x.db'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "select 1; select 2",
        "create table t2 as select 1",
        "select * from hidden_frame",
        "select nonsense from t",
        "selekt",
        "",
    ],
)
def test_sql_reaches_nothing_but_the_tables_that_are_given(sql, world, tmp_path):
    hidden_frame = pa.table({"secret": [1]})
    dataset = world.open(world.publish("few", [pa.RecordBatch.from_pydict({"n": [1]})]))
    file = tmp_path / "file.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError) as caught:
        query(sql.format(file=file, folder=tmp_path), {"t": dataset}).read_all()
    assert caught.value.code == "sql"
    assert hidden_frame.num_rows == 1
    assert not (tmp_path / "out.csv").exists()


def test_an_error_of_the_sql_never_shows_a_value(world):
    batch = pa.RecordBatch.from_pydict({"name": ["very private"]})
    dataset = world.open(world.publish("few", [batch]))
    with pytest.raises(ConfigError) as caught:
        dataset.sql("select name::integer from few")
    assert "private" not in caught.value.message
    assert "ConversionException" in caught.value.message


def test_a_part_above_the_limit_of_memory_is_copied_to_an_unlinked_file(
    world, monkeypatch, tmp_path
):
    monkeypatch.setattr(files, "COPY_IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = world.publish("few", [pa.RecordBatch.from_pydict({"n": [1, 2, 3]})])
    dataset = world.open(folder, deep=True)
    batches = dataset.batches()
    assert next(batches).num_rows == 3
    assert list((tmp_path / "tmp").iterdir()) == []
    assert dataset.to_arrow().num_rows == 3


def test_hostile_parts_are_refused_in_bounded_memory(lay_out, vectors):
    for name in ("record-texts-too-long", "record-page-too-long"):
        case = lay_out(vectors / "negative" / f"{name}.json")
        before = pa.total_allocated_bytes()
        with pytest.raises(VerificationError) as caught:
            case.open(unsafe_no_standing=True).to_arrow()
        assert caught.value.code == "record"
        assert pa.total_allocated_bytes() - before < 16 << 20
        shutil.rmtree(case.folder.parents[2])
        shutil.rmtree(case.trust_folder)
    assert pa.default_memory_pool().max_memory() < 1200 << 20


def test_no_room_for_a_private_copy_is_said(world, monkeypatch):
    folder = world.publish("few", [pa.RecordBatch.from_pydict({"n": [1, 2, 3]})])

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *rest):
            pass

        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "COPY_IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda prefix: Full())
    with pytest.raises(ConfigError) as caught:
        world.open(folder)
    assert "No space left" in caught.value.message
    assert "TMPDIR" in caught.value.hint


def test_a_part_swapped_while_a_query_runs_stops_it(world, monkeypatch):
    monkeypatch.setattr(hashing, "MAX_RECORDS", 10_000)
    folder = world.publish("many", [pa.RecordBatch.from_pydict({"n": range(500_000)})])
    dataset = world.open(folder)
    answer = query("from t", {"t": dataset}, threads=1, batch_rows=2048)
    assert answer.read_next_batch().column(0)[0].as_py() == 0
    (folder / "part-00049.parquet").write_bytes(b"swapped")
    with pytest.raises(VerificationError) as caught:
        answer.read_all()
    assert caught.value.code == "part-digest"


def test_a_query_beyond_its_memory_is_said(world):
    batch = pa.RecordBatch.from_pydict({"text": [f"text {n}" * 20 for n in range(100_000)]})
    dataset = world.open(world.publish("many", [batch]))
    with pytest.raises(ConfigError) as caught:
        query(
            "select list(text order by text desc) as all from t",
            {"t": dataset},
            memory_bytes=4 << 20,
            threads=1,
        ).read_all()
    assert "memory" in caught.value.message


def test_an_error_that_is_nobodys_stays_what_it_is():
    class Broken:
        schema = pa.schema([("n", pa.int64())])

        def batches(self, columns=None):
            raise NotImplementedError

    with pytest.raises(ConfigError, match="failed while it ran"):
        query("from t", {"t": Broken()}).read_all()
    with pytest.raises(TypeError):
        query(None, {})
