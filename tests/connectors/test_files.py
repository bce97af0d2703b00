"""Where files lie, which of them are one table, and what they are packed with."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from zhixin_connectors import unpack
from zhixin_connectors.files import FileSource
from zhixin_connectors.places import Place
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError

FIELDS = {"id": pa.int64()}
REQUEST = ReadRequest("t", pa.schema(list(FIELDS.items())))


def parquet(table, path):
    pq.write_table(pa.table(table), path)


@pytest.fixture
def silo(tmp_path):
    """A folder: months of a year, other files, a folder below."""
    folder = tmp_path / "silo"
    (folder / "below" / "deep").mkdir(parents=True)
    for name, ids in (("2026-02", "3\n"), ("2026-01", "1\n2\n"), ("2025-12", "9\n")):
        (folder / f"{name}.csv").write_text(f"id,name\n{ids.replace(chr(10), ',x' + chr(10))}")
    (folder / "below" / "a.csv").write_text("id\n4\n")
    (folder / "below" / "deep" / "b.csv").write_text("id\n5\n")
    (folder / "notes.md").write_text("# Notes\n")
    (folder / ".hidden.csv").write_text("id\n7\n")
    return folder


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("2026-*.csv", [1, 2, 3]),
        ("202?-12.csv", [9]),
        ("202[5]-*", [9]),
        ("below/*.csv", [4]),
        ("below/**/*.csv", [4, 5]),
        ("2026-01.csv", [1, 2]),
        ("2026-01", [1, 2]),
        ("below", [4]),
        ("below/deep/b", [5]),
    ],
)
def test_a_table_is_a_file_a_folder_or_a_pattern_in_the_order_of_names(silo, take, pattern, ids):
    assert take(silo, pattern, FIELDS)[0]["id"].to_pylist() == ids


def test_a_pattern_may_be_the_address_itself(silo, take):
    address = f"file:{silo}/2026-*.csv"
    source = open_source(address)
    assert [table.name for table in source.tables()] == ["2026-01.csv", "2026-02.csv"]
    assert [column.name for column in source.columns("2026-*.csv")] == ["id", "name"]
    assert take(source, ".", FIELDS)[0]["id"].to_pylist() == [1, 2, 3]
    with pytest.raises(PermanentSourceError, match="has no other"):
        take(source, "other", FIELDS)


@pytest.mark.parametrize("pattern", ["2024-*.csv", "*/x/*.csv", "[x]", "below/none*"])
def test_a_pattern_that_matches_nothing_is_refused(silo, take, pattern):
    with pytest.raises(PermanentSourceError, match="no file matches"):
        take(silo, pattern, FIELDS)


def test_a_name_with_the_signs_of_a_pattern_is_that_file_first(silo, take):
    (silo / "a[1].csv").write_text("id\n8\n")
    assert take(silo, "a[1].csv", FIELDS)[0]["id"].to_pylist() == [8]


def test_a_file_of_two_names_is_read_once(silo, take):
    (silo / "2026-99.csv").symlink_to(silo / "2026-01.csv")
    os.link(silo / "2026-02.csv", silo / "2026-03.csv")
    assert take(silo, "2026-*.csv", FIELDS)[0]["id"].to_pylist() == [1, 2, 3]


def test_a_file_with_other_columns_is_named_before_any_record(silo):
    (silo / "2026-03.csv").write_text("id,Name,more\n1,a,b\n")
    stream = open_source(str(silo)).read(ReadRequest("2026-*.csv", REQUEST.schema))
    with pytest.raises(PermanentSourceError) as refusal:
        next(stream)
    assert "2026-03.csv has no name and has Name, more besides" in str(refusal.value)
    assert refusal.value.details == {"missing": ["name"], "surplus": ["Name", "more"]}


@pytest.mark.parametrize("table", ["none.csv", "2026-*.csv", "book.xlsx"])
def test_a_first_line_that_is_a_record_is_not_told(silo, table):
    (silo / "none.csv").write_text("110105194912310022,张三\n")
    (silo / "2026-99.csv").write_text("110105194912310022,张三\n")
    book = openpyxl.Workbook()
    book.active.append(["110105194912310022", "张三"])
    book.save(silo / "book.xlsx")
    with pytest.raises(PermanentSourceError) as refusal:
        next(open_source(str(silo)).read(ReadRequest(table, REQUEST.schema)))
    told = f"{refusal.value} {refusal.value.hint} {refusal.value.details}"
    assert refusal.value.code == "column-missing"
    assert "张三" not in told
    assert "110105" not in told


def test_columns_may_stand_in_another_order(silo, take):
    (silo / "2026-03.csv").write_text("name,id\nx,10\n")
    assert take(silo, "2026-*.csv", FIELDS)[0]["id"].to_pylist() == [1, 2, 3, 10]


def test_files_of_several_kinds_are_no_one_table(silo, take):
    parquet({"id": [1]}, silo / "below" / "z.parquet")
    with pytest.raises(PermanentSourceError, match=r"below/a\.csv and below/z\.parquet"):
        take(silo, "below", FIELDS)


def test_a_delta_table_is_no_folder_of_files(silo, take):
    (silo / "delta" / "_delta_log").mkdir(parents=True)
    parquet({"id": [1]}, silo / "delta" / "part-0.parquet")
    with pytest.raises(PermanentSourceError, match="Delta table"):
        take(silo, "delta", FIELDS)


def test_parts_of_spark_are_read_without_what_lies_beside_them(silo, take):
    parts = silo / "parts"
    parts.mkdir()
    for name, ids in (("part-00001.snappy.parquet", [2]), ("part-00000.snappy.parquet", [1])):
        parquet({"id": ids}, parts / name)
    (parts / "_SUCCESS").write_text("")
    (parts / ".part-00000.crc").write_text("x")
    assert take(silo, "parts", FIELDS)[0]["id"].to_pylist() == [1, 2]


@pytest.mark.parametrize("write", ["append", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_refused(silo, write):
    stream = open_source(str(silo)).read(ReadRequest("2026-*.csv", REQUEST.schema))
    next(stream)
    file = silo / "2026-01.csv"
    if write == "append":
        with file.open("a") as opened:
            opened.write("3,x\n")
    else:
        file.unlink()
    if write == "replace":
        file.write_text("id,name\n1,x\n2,x\n")
    with pytest.raises(TransientSourceError) as refusal:
        list(stream)
    assert refusal.value.code == "source-changed"
    assert "2026-01.csv" in str(refusal.value)


def test_a_file_that_appears_while_others_are_read_is_left_to_the_next_run(silo):
    stream = open_source(str(silo)).read(ReadRequest("2026-*.csv", REQUEST.schema))
    first = next(stream)
    (silo / "2026-03.csv").write_text("id,name\n7,x\n")
    assert first.batch.num_rows + sum(each.batch.num_rows for each in stream) == 3


def test_a_file_that_is_gone_before_its_turn_is_a_change(silo):
    stream = open_source(str(silo)).read(ReadRequest("2026-*.csv", REQUEST.schema))
    next(stream)
    (silo / "2026-02.csv").unlink()
    with pytest.raises(TransientSourceError, match=r"2026-02\.csv is gone"):
        list(stream)


def test_a_name_that_is_not_utf8_is_told(silo, take):
    (silo / os.fsdecode(b"\xff.csv")).write_text("id\n")
    with pytest.raises(PermanentSourceError, match="not UTF-8"):
        take(silo, "2026-*.csv", FIELDS)


# Other file systems


def test_reads_through_any_file_system_of_pyarrow(silo, take):
    within = pafs.SubTreeFileSystem(str(silo), pafs.LocalFileSystem())
    source = FileSource(Place("store", "", lambda: within), {})
    parquet({"id": [6]}, silo / "p.parquet")
    assert take(source, "2026-*.csv", FIELDS)[0]["id"].to_pylist() == [1, 2, 3]
    assert take(source, "p.parquet", FIELDS)[0]["id"].to_pylist() == [6]
    assert {"2026-01.csv", "below/a.csv", "p.parquet"} <= {t.name for t in source.tables()}
    stream = source.read(ReadRequest("2026-01.csv", REQUEST.schema))
    next(stream)
    (silo / "2026-01.csv").write_text("id,name\n1,x\n")
    with pytest.raises(TransientSourceError, match="changed while"):
        list(stream)


class Failing:
    """A local file system that lists files, and fails to open them."""

    def __init__(self, error):
        self._error = error

    def get_file_info(self, what):
        return pafs.LocalFileSystem().get_file_info(what)

    def open_input_file(self, _path):
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(5, "Input/output error of secret-host"), TransientSourceError, "to its end"),
        (PermissionError(13, "denied"), PermanentSourceError, "no permission to read it"),
    ],
)
def test_what_a_file_system_raises_names_the_file(silo, take, error, kind, words):
    source = FileSource(Place("store", str(silo), lambda: Failing(error)), {})
    with pytest.raises(kind, match=words) as refusal:
        take(source, "2026-01.csv", FIELDS)
    assert "2026-01.csv" in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_file_system_that_can_not_be_reached_may_be_tried_again():
    def connect():
        raise OSError("no route to secret-host")

    with pytest.raises(TransientSourceError, match="can't be reached") as refusal:
        FileSource(Place("store", "x", connect), {}).check()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a.csv", "hdfs://user@host/a.csv"])
def test_credentials_in_an_address_are_refused_without_repeating_them(url):
    with pytest.raises(ConfigError) as refusal:
        open_source(url)
    assert "secret" not in str(refusal.value) + str(refusal.value.hint)
    assert "environment" in refusal.value.hint


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("s3://bucket/silo?region=cn-north-1", "bucket/silo"),
        ("s3://bucket/silo/2026-*.csv?region=cn-north-1", "bucket/silo/2026-*.csv"),
        ("gs://bucket/a%20b.csv", "bucket/a b.csv"),
    ],
)
def test_an_address_is_taken_apart_without_reaching_it(url, root):
    assert open_source(url)._place.root == root


# Packed files

DATA = b"id\n" + b"".join(b"%d\n" % n for n in range(30_000))


def _zip(data, *names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("inner.csv",):
            archive.writestr(name, data)
    return packed.getvalue()


PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    "lz4": lambda data: pa.compress(data, codec="lz4", asbytes=True),
    "zip": _zip,
}


@pytest.mark.parametrize("ending", PACKERS)
def test_unpacks_what_the_first_bytes_say_whatever_the_name(tmp_path, take, ending):
    (tmp_path / f"t.csv.{ending}").write_bytes(PACKERS[ending](DATA))
    (tmp_path / "named-otherwise.csv").write_bytes(PACKERS[ending](DATA))
    (tmp_path / "plain.csv.gz").write_bytes(DATA)
    for name in (f"t.csv.{ending}", "named-otherwise.csv", "plain.csv.gz"):
        assert take(tmp_path, name, FIELDS)[0]["id"].to_pylist() == list(range(30_000))


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "lz4"])
def test_reads_packed_pieces_one_after_another(tmp_path, take, ending):
    pieces = PACKERS[ending](DATA[:99]), PACKERS[ending](DATA[99:])
    (tmp_path / f"t.csv.{ending}").write_bytes(b"".join(pieces))
    assert take(tmp_path, "t", FIELDS)[0].num_rows == 30_000


# A byte that was flipped shows by the checksum, which zstd and lz4 need not have; what follows a
# .zip is no part of it.
SILENT = {("zst", "flip"), ("lz4", "flip"), ("zip", "tail")}
HARMS = [("csv", ending, harm) for ending in PACKERS for harm in ("cut", "flip", "tail")]
HARMS = [each for each in HARMS if each[1:] not in SILENT]
HARMS += [("jsonl", "gz", "cut"), ("json", "gz", "cut"), ("json", "zst", "cut")]


@pytest.mark.parametrize(("kind", "ending", "harm"), HARMS)
def test_refuses_a_damaged_archive_and_says_after_which_record(tmp_path, kind, ending, harm):
    numbers = [b"%d" % (n * 7919 % 1_000_003) for n in range(250_000)]
    if kind == "csv":
        data = b"id\n" + b"\n".join(numbers) + b"\n"
    else:
        data = b"\n".join(b'{"id":%b}' % number for number in numbers)
    if kind == "json":
        data = b"[" + data.replace(b"\n", b",") + b"]"
    packed = bytearray(PACKERS[ending](data))
    if harm == "cut":
        del packed[-len(packed) // 5 :]
    elif harm == "flip":
        packed[len(packed) * 4 // 5] ^= 0xFF
    else:
        packed += b"not packed"
    (tmp_path / f"t.{kind}.{ending}").write_bytes(packed)
    read = 0
    with pytest.raises(PermanentSourceError, match="damaged") as refusal:  # noqa: PT012
        for each in open_source(str(tmp_path)).read(ReadRequest("t", REQUEST.schema)):
            read += each.batch.num_rows
    assert not read or f"after record {read:,}:" in str(refusal.value)


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, take, monkeypatch):
    monkeypatch.setattr(unpack, "_FREE_BYTES", 1 << 20)
    data = b"id\n" + b"1\n" * 5_000_000
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(data))
    with pytest.raises(PermanentSourceError, match="more than 500 times its size"):
        take(tmp_path, "t", FIELDS)


def test_a_file_in_a_zip_of_several_is_named_after_it(tmp_path, take):
    (tmp_path / "t.zip").write_bytes(_zip(DATA, "a.csv", "sub/b.csv"))
    with pytest.raises(PermanentSourceError, match="holds 2 files") as refusal:
        take(tmp_path, "t.zip", FIELDS)
    assert "t.zip/a.csv" in refusal.value.hint
    assert take(tmp_path, "t.zip/sub/b.csv", FIELDS)[0].num_rows == 30_000
    assert take(tmp_path / "t.zip", "sub/b.csv", FIELDS)[0].num_rows == 30_000
    with pytest.raises(PermanentSourceError, match=r"holds no c\.csv"):
        take(tmp_path, "t.zip/c.csv", FIELDS)
    names = ["t.zip/a.csv", "t.zip/sub/b.csv"]
    assert [table.name for table in open_source(str(tmp_path)).tables()] == names


def test_what_can_not_be_unpacked_is_refused(tmp_path, take):
    with tarfile.open(tmp_path / "t.csv.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    with pytest.raises(PermanentSourceError, match="no column id"):
        take(tmp_path, "t", FIELDS)
    locked = bytearray(_zip(DATA))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "t.csv.gz").write_bytes(locked)
    with pytest.raises(PermanentSourceError, match="encrypted"):
        take(tmp_path, "t", FIELDS)


def test_parquet_and_databases_are_known_by_their_bytes(tmp_path, take):
    parquet({"id": [1]}, tmp_path / "t.csv")
    assert take(tmp_path, "t.csv", FIELDS)[0]["id"].to_pylist() == [1]
    (tmp_path / "t.csv").write_bytes(b"SQLite format 3\0" + bytes(84))
    with pytest.raises(PermanentSourceError, match="SQLite database") as refusal:
        take(tmp_path, "t.csv", FIELDS)
    assert "sqlite:///" in refusal.value.hint


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_twice_in_an_archive_is_none(silo):
    with zipfile.ZipFile(silo / "twice.zip", "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
        archive.writestr("a.csv", "id\n2\n")
    with pytest.raises(PermanentSourceError, match=r"holds a\.csv 2 times"):
        next(open_source(str(silo)).read(ReadRequest("twice.zip/a.csv", REQUEST.schema)))
