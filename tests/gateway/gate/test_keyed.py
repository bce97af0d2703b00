"""One record by its primary key: only the part that holds it is read, whatever footers claim."""

import datetime as dt
import decimal
import hashlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import ConfigError, VerificationError
from zhixin_gateway import cli
from zhixin_gateway.datasets import hashing, ranges
from zhixin_gateway.datasets.manifest import part_name
from zhixin_gateway.gate import parts, prove_record, verify_record
from zhixin_gateway.stores.objects import Objects
from zhixin_ledger.trust import save_trust

COUNT = 30
TYPES = {
    pa.int64(): "logicalType: integer",
    pa.string(): "logicalType: string",
    pa.uint64(): "logicalType: integer, logicalTypeOptions: {format: u64}",
    pa.binary(): "logicalType: string, logicalTypeOptions: {format: binary}",
    pa.date32(): "logicalType: date",
    pa.float64(): "logicalType: number",
    pa.decimal128(38, 2): "logicalType: number, physicalType: 'decimal(38,2)'",
    pa.timestamp("us"): "logicalType: timestamp",
}


HEAD = """apiVersion: v3.1.0
kind: DataContract
id: bts.gov.example/keyed
name: Made up
version: 1.0.0
status: active
servers:
  - {server: made, type: custom}
schema:
  - name: keyed
    physicalName: keyed
    logicalType: object
    properties:
"""


def contract(schema, keys):
    """A contract of these fields, with these as its primary key."""
    lines = []
    for field in schema:
        key = (
            f", primaryKey: true, primaryKeyPosition: {keys.index(field.name) + 1}"
            if (field.name in keys)
            else ""
        )
        lines.append(f"      - {{name: {field.name}, {TYPES[field.type]}{key}}}\n")
    return (HEAD + "".join(lines)).encode()


@pytest.fixture
def publish(world, monkeypatch):
    """A function that publishes records with a key, in parts of three."""
    monkeypatch.setattr(hashing, "MAX_RECORDS", 3)

    def make(batch=None, keys=("n",), **options):
        if batch is None:
            batch = pa.RecordBatch.from_pydict(
                {"n": range(0, 2 * COUNT, 2), "text": [f"t{n}" for n in range(COUNT)]}
            )
        options.setdefault("contract", contract(batch.schema, list(keys)))
        return world.publish("keyed", [batch], key=list(keys), **options)

    return make


@pytest.fixture
def read(monkeypatch):
    """Names of the parts that were read, each once, in order."""
    names, real = [], parts.copy_part

    def copy(files, name, *rest):
        if name not in names:
            names.append(name)
        return real(files, name, *rest)

    monkeypatch.setattr(parts, "copy_part", copy)
    return names


def prove(world, folder, *key, **options):
    proof = prove_record(folder, world.trust(), key=key, now=world.now, **options)
    verdict = verify_record(proof, world.trust(), now=world.now)
    assert verdict.ok, verdict.message
    return verdict.values


def refused(world, folder, *key, code="key"):
    with pytest.raises((ConfigError, VerificationError)) as caught:
        prove(world, folder, *key)
    assert caught.value.code == code
    return caught.value


def test_only_the_part_that_holds_the_record_is_read(publish, world, read):
    folder = publish()
    for at in range(COUNT):
        read.clear()
        assert prove(world, folder, str(2 * at)) == [str(2 * at), f"t{at}"]
        assert read == [part_name(at // 3)]


def test_says_that_no_record_has_a_key_only_after_all_parts_were_looked_at(publish, world, read):
    folder = publish()
    for key in ("7", "-1", "1000"):
        read.clear()
        error = refused(world, folder, key)
        assert "all its 10 parts" in error.message
        assert sorted(read) == [part_name(number) for number in range(10)]
    flipped = folder / part_name(9)
    flipped.write_bytes(b"Q" + flipped.read_bytes()[1:])
    refused(world, folder, "7", code="part-digest")


def test_a_part_that_is_not_read_may_be_anything_and_one_that_is_may_not(publish, world):
    folder = publish()
    for number in (0, 4, 9):
        path = folder / part_name(number)
        path.write_bytes(b"Q" + path.read_bytes()[1:])
    assert prove(world, folder, "20") == ["20", "t10"]
    assert prove(world, folder, "38") == ["38", "t19"]
    refused(world, folder, "24", code="part-digest")


# Statistics that lie. The owner states the very bytes.


def lying(replace_low, replace_high):
    """Let every footer claim other ends of its range of `n`, given its own."""

    def alter(path, part):
        data = bytearray(path.read_bytes())
        chunk = pq.read_metadata(path).row_group(0).column(0)
        low, high = chunk.statistics.min, chunk.statistics.max
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        for old, new in ((low, replace_low(low, high)), (high, replace_high(low, high))):
            pattern = b"\x08" + old.to_bytes(8, "little", signed=True)
            at = data.find(pattern, start)
            assert at > 0
            while at >= 0:
                data[at : at + 9] = b"\x08" + new.to_bytes(8, "little", signed=True)
                at = data.find(pattern, at + 9)
        path.write_bytes(data)
        return replace(part, size_bytes=len(data), sha256=hashlib.sha256(data).digest())

    return alter


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (lambda low, high: low + 6, lambda low, high: high + 6),
        (lambda low, high: low - 6, lambda low, high: high - 6),
        (lambda low, high: 900 - low, lambda low, high: 900 - high),
        (lambda low, high: 1000, lambda low, high: -1000),
        (lambda low, high: -1000, lambda low, high: 1000),
        (lambda low, high: 0, lambda low, high: 0),
    ],
    ids=["next", "before", "falling", "empty", "everything", "one value"],
)
def test_statistics_that_lie_cost_time_and_nothing_else(low, high, publish, world, read):
    folder = publish(alter=lying(low, high))
    for at in range(COUNT):
        read.clear()
        assert prove(world, folder, str(2 * at)) == [str(2 * at), f"t{at}"]
        assert part_name(at // 3) in read
    assert "all its 10 parts" in refused(world, folder, "7").message


def test_footers_that_claim_nothing_or_are_none_cost_time_and_nothing_else(publish, world):
    def without(path, part):
        pq.write_table(pq.read_table(path), path, store_schema=False, write_statistics=False)
        data = path.read_bytes()
        return replace(part, size_bytes=len(data), sha256=hashlib.sha256(data).digest())

    assert prove(world, publish(alter=without), "38") == ["38", "t19"]
    folder = publish()
    for number in (0, 4, 9):
        (folder / part_name(number)).write_bytes(b"")
    assert prove(world, folder, "38") == ["38", "t19"]


@settings(max_examples=300)
@given(data=st.data())
def test_any_bytes_for_a_footer_are_a_range_or_none(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    pq.write_table(pa.table({"n": [1, 2, 3], "text": ["a", "b", "c"]}), path)
    good = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(len(good) - 400, len(good) - 1))
        good[at] = data.draw(st.integers(0, 255))
    path.write_bytes(good[: data.draw(st.integers(0, len(good)))] or good)
    for field in (pa.field("n", pa.int64()), pa.field("text", pa.string())):
        with path.open("rb") as file:
            claim = ranges.claimed_range(file, field)
        assert claim is None or len(claim) == 2


@settings(max_examples=200)
@given(
    ends=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)) | st.none(), max_size=12),
    value=st.integers(0, 9),
)
def test_whatever_parts_claim_their_numbers_are_parts(ends, value):
    found = ranges.likely_parts(value, ends.__getitem__, len(ends))
    assert set(found) <= set(range(len(ends)))


def test_a_column_that_is_not_there_or_has_no_values_claims_nothing(tmp_path):
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table({"n": pa.array([None, None], pa.int64())}), path)
    for name in ("n", "other"):
        with path.open("rb") as file:
            assert ranges.claimed_range(file, pa.field(name, pa.int64())) is None


# Keys of every type, and of several fields.


DAYS = [dt.date(2013, 1, 1) + dt.timedelta(days=day) for day in range(9)]
VALUES = {
    pa.int64(): [-5, -1, 0, 3, 8, 100, 2**40, 2**62, 2**63 - 1],
    pa.string(): ["", "A", "B", "a", "é", "中", "中a", "乙", "\U0001f600"],
    pa.uint64(): [0, 1, 2, 3, 2**31, 2**32, 2**63, 2**63 + 1, 2**64 - 1],
    pa.binary(): [b"", b"\0", b"\0\1", b"A", b"a", b"\x7f", b"\x80", b"\xff", b"\xff\0"],
    pa.date32(): DAYS,
    pa.timestamp("us"): [dt.datetime.combine(day, dt.time(1, 2, 3, 4)) for day in DAYS],
    pa.decimal128(38, 2): [
        decimal.Decimal(f"{n}1234567890123456789012345678.05") for n in range(1, 10)
    ],
    pa.float64(): [-1.5, -0.5, 0.0, 0.25, 1.0, 2.0, 1e10, 1e100, 1e300],
}


@pytest.mark.parametrize("arrow", VALUES, ids=str)
def test_keys_of_any_type_are_found_and_most_in_one_part(arrow, publish, world, read):
    from zhixin_gateway.cli.plain import elements

    batch = pa.record_batch({"key": pa.array(VALUES[arrow], arrow)})
    folder = publish(batch, keys=["key"])
    for at, (text,) in enumerate(elements(batch)):
        read.clear()
        assert prove(world, folder, text) == [text]
        assert part_name(at // 3) in read
        assert len(read) == 1 or arrow == pa.float64()


def test_negative_zero_is_not_zero(publish, world):
    batch = pa.record_batch({"key": pa.array([-1.0, 0.0, 1.0])})
    assert prove(world, publish(batch, keys=["key"]), "0") == ["0"]
    refused(world, publish(batch, keys=["key"]), "-0")


def test_a_key_of_several_fields_is_given_in_the_contracts_order(publish, world, read):
    rows = [
        {"day": day, "seat": seat, "who": f"{day}{seat}"} for day in range(4) for seat in "abcde"
    ]
    schema = pa.schema([("seat", pa.string()), ("who", pa.string()), ("day", pa.int64())])
    folder = publish(pa.RecordBatch.from_pylist(rows, schema), keys=["day", "seat"])
    for row in rows:
        read.clear()
        assert prove(world, folder, str(row["day"]), row["seat"]) == [
            row["seat"], row["who"], str(row["day"]),
        ]  # fmt: skip
        assert len(read) <= 3
    refused(world, folder, "2", "z")
    assert "day, seat" in refused(world, folder, "a", "2").hint


@pytest.mark.parametrize("key", [(), ("1", "2"), ("01",), ("1.0",), ("x",), ("",), ("\udcff",)])
def test_what_is_no_key_is_refused_before_a_part_is_read(key, publish, world, read):
    folder = publish()
    assert "n" in refused(world, folder, *key).hint
    assert read == []


@pytest.mark.parametrize("text", [b"id: made-up\n", None])
def test_a_version_whose_contract_has_no_key_is_asked_by_a_condition(text, publish, world):
    schema = pa.schema([("n", pa.int64()), ("text", pa.string())])
    folder = publish(contract=text or contract(schema, []))
    assert "--where" in refused(world, folder, "2").hint
    assert verify_record(
        prove_record(folder, world.trust(), where="n = 2", now=world.now), world.trust()
    ).values == ["2", "t1"]


def test_records_of_one_part_that_share_a_key_are_not_told_apart(publish, world):
    batch = pa.record_batch({"n": [1, 1, 2]})
    assert "more than one" in refused(world, publish(batch), "1").message


def test_a_record_is_picked_in_exactly_one_way(publish, world):
    for picked in ({}, {"where": "n = 2", "key": ["2"]}):
        with pytest.raises(ConfigError):
            prove_record(publish(), world.trust(), now=world.now, **picked)


def test_a_version_that_is_refused_proves_nothing(publish, world):
    folder = publish()
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:-1])
    refused(world, folder, "2", code="malformed")


def test_the_command_proves_by_key(publish, world, tmp_path, capsys):
    folder = publish()
    save_trust(world.trust(), tmp_path / "trust")
    trust = ["--trust", str(tmp_path / "trust")]
    proof = str(tmp_path / "proof.json")
    assert cli.main(["prove", str(folder), "--key", "20", "--out", proof, *trust]) == 0
    assert cli.main(["verify-record", proof, *trust]) == 0
    assert "text: t10" in capsys.readouterr().out
    assert cli.main(["prove", str(folder), "--key", "21", *trust]) == 2
    assert cli.main(["prove", str(folder), *trust]) == 2
    assert cli.main(["prove", str(folder), "--key", "20", "--where", "n = 20", *trust]) == 2


def test_in_an_object_store_the_same_part_alone_is_read(publish, world, read, s3_url):
    folder = publish()
    objects = Objects.at(s3_url).below("bts.gov.example/keyed/1")
    for path in folder.iterdir():
        objects.put(path.name, path.read_bytes())
    address = s3_url.replace("?", "/bts.gov.example/keyed/1?")
    assert prove(world, address, "20") == ["20", "t10"]
    assert read == [part_name(3)]
    assert "all its 10 parts" in refused(world, address, "7").message
