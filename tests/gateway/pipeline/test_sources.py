"""The same records from every kind of source, and the odd ones that sources hold."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zhixin_gateway
from zhixin_errors import PermanentSourceError
from zhixin_gateway import pipeline
from zhixin_gateway.datasets.manifest import parse_manifest

DATASET = "bts.gov.example/stops"
ROWS = [(f"2024-01-{day:02}", f"线路{line}", line * day, None if line % 3 else 'a "b", c')
        for day in range(1, 29) for line in range(12)]  # fmt: skip


def _contents(home, version):
    manifest = parse_manifest((home.store / DATASET / str(version) / "manifest.json").read_bytes())
    return [part.content for part in manifest.parts]


def _from(world, url, name):
    home = world.owner.save(replace(world.owner.filed_settings(), sources={"silo": str(url)}))
    contract = world.stops()
    contract.write_text(
        contract.read_text().replace("physicalName: stops", f"physicalName: {name}")
    )
    return home, contract


def _write_csv(path, rows):
    lines = ["place,seats,line,day,more"]
    for day, line, seats, place in rows:
        quoted = "" if place is None else '"' + place.replace('"', '""') + '"'
        lines.append(f"{quoted},{seats},{line},{day},surplus")
    path.write_text("\n".join(lines) + "\n")


def _write_parquet(path, rows):
    table = pa.table(
        {
            "line": pa.array([row[1] for row in rows], pa.dictionary(pa.int32(), pa.string())),
            "day": pa.array([row[0] for row in rows]).cast(pa.timestamp("ms")),
            "seats": pa.array([row[2] for row in rows], pa.int16()),
            "place": pa.array([row[3] for row in rows], pa.large_string()),
        }
    )
    pq.write_table(table, path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_same_records_make_the_same_contents_whatever_the_source(world, kind):
    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    path = world.folder / f"stops.{kind}"
    (_write_csv if kind == "csv" else _write_parquet)(path, ROWS[::-1])
    home, contract = _from(world, path, path.name)
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 1.0.1"))
    assert pipeline.run(home, contract).version == 2
    assert _contents(home, 2) == _contents(home, 1)


def test_postgresql_gives_the_same_contents_in_its_own_types_and_collation(world, postgresql_url):
    import sqlalchemy as sa

    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS stops_copy"))
        connection.execute(
            sa.text(
                "CREATE TABLE stops_copy (id serial, day date, line text, seats numeric(9,3), "
                "place varchar)"
            )
        )
        connection.execute(
            sa.text("INSERT INTO stops_copy (day, line, seats, place) VALUES (:a, :b, :c, :d)"),
            [dict(zip("abcd", row, strict=True)) for row in reversed(ROWS)],
        )
    engine.dispose()
    home = zhixin_gateway.Home.open(world.owner.path, sources={"silo": postgresql_url})
    contract = world.stops(version="1.0.1")
    text = contract.read_text().replace("physicalName: stops", "physicalName: stops_copy")
    contract.write_text(text)
    assert pipeline.run(home, contract).version == 2
    assert _contents(home, 2) == _contents(home, 1)


def test_a_csv_record_with_too_many_fields_is_rejected_whole_and_alone(world):
    path = world.folder / "stops.csv"
    path.write_text(
        "day,line,seats,place\n2024-01-01,A,1,x\n2024-01-02,B,2,x,y,z\n2024-01-03,C,3,\n"
    )
    home, contract = _from(world, path, path.name)
    result = pipeline.run(home, contract)
    assert (result.records, result.quarantined) == (2, 1)
    (row,) = pq.read_table(home.quarantine / DATASET / "1.parquet").to_pylist()
    assert row["_row"] == 1
    assert [why["rule"] for why in row["_reasons"]] == ["record.form"]


def test_a_record_whose_text_is_too_long_is_rejected(world):
    path = world.folder / "stops.parquet"
    rows = [("2024-01-01", "A", 1, "x"), ("2024-01-02", "B", 2, "\0" * 11_200_000)]
    _write_parquet(path, rows)
    home, contract = _from(world, path, path.name)
    result = pipeline.run(home, contract)
    assert (result.records, result.quarantined) == (1, 1)
    (row,) = pq.read_table(home.quarantine / DATASET / "1.parquet").to_pylist()
    assert [why["rule"] for why in row["_reasons"]] == ["record.length"]


def test_a_missing_column_is_refused_before_any_record(world):
    path = world.folder / "stops.csv"
    path.write_text("day,line,place\n2024-01-01,A,x\n")
    home, contract = _from(world, path, path.name)
    with pytest.raises(PermanentSourceError, match="seats"):
        pipeline.run(home, contract)


DERIVED = """apiVersion: v3.2.0
kind: DataContract
id: faa.gov.example/lines
version: 1.0.0
status: active
name: Lines
servers:
  - server: zhixin
    type: custom
    customProperties:
      - property: zhixin.sql
        value: SELECT line, avg(seats * 0.1) AS seats, count(*) AS stops
          FROM "bts.gov.example/stops" GROUP BY line {having}
schema:
  - name: lines
    physicalName: lines
    logicalType: object
    properties:
      - {{name: line, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}}
      - {{name: seats, logicalType: number}}
      - {{name: stops, logicalType: integer, required: true}}
"""


def _derived(world, having=""):
    path = world.other.path / "contracts" / "lines.odcs.yaml"
    path.write_text(DERIVED.format(having=having))
    return path


def test_a_derived_dataset_is_made_of_verified_ones_and_made_once(world):
    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    result = pipeline.run(world.other, _derived(world))
    assert (result.version, result.records) == (1, 12)
    opened = zhixin_gateway.open("faa.gov.example/lines", home=world.other)
    assert [(item.dataset, item.version) for item in opened.manifest.inputs] == [(DATASET, 1)]
    assert opened.manifest.source.system == "zhixin"
    assert opened.sql("SELECT sum(stops) AS n FROM lines")["n"].to_pylist() == [len(ROWS)]
    assert pipeline.run(world.other, _derived(world)).version is None
    world.fill("stops", ROWS[:-1])
    pipeline.run(world.owner, world.stops())
    assert pipeline.run(world.other, _derived(world)).version == 2


def test_a_new_version_of_an_input_makes_a_new_version_though_the_records_are_the_same(world):
    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    pipeline.run(world.other, _derived(world))
    pipeline.run(world.owner, world.stops(), force=True)
    assert pipeline.run(world.other, _derived(world)).version == 2


def test_sql_that_gives_other_fields_is_refused(world):
    from zhixin_errors import ContractError

    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    contract = _derived(world)
    contract.write_text(contract.read_text().replace("AS stops", "AS other"))
    with pytest.raises(ContractError, match="stops"):
        pipeline.run(world.other, contract)


NESTED = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/nested
version: 1.0.0
status: active
name: Nested
servers:
  - {server: silo, type: custom}
schema:
  - name: nested
    physicalName: nested.parquet
    logicalType: object
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}
      - name: tags
        logicalType: array
        items: {name: tag, logicalType: string}
      - name: place
        logicalType: object
        properties:
          - {name: code, logicalType: string}
          - {name: height, logicalType: number, physicalType: "decimal(9,2)"}
"""


def test_lists_and_structs_pass_through_sort_parts_and_gate(world):
    rows = [
        {"id": n, "tags": [f"t{n}", None][: n % 3], "place": None if n % 4 == 0 else
         {"code": f"c{n}", "height": n / 4}}
        for n in range(50)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows[::-1]), world.folder / "nested.parquet")
    home, _ = _from(world, world.folder, "unused")
    contract = home.path / "contracts" / "nested.odcs.yaml"
    contract.write_text(NESTED)
    result = pipeline.run(home, contract)
    assert (result.records, result.quarantined) == (50, 0)
    shown = zhixin_gateway.open("bts.gov.example/nested", home=home).to_arrow().to_pylist()
    assert [row["id"] for row in shown] == list(range(50))
    assert shown[5]["tags"] == ["t5", None]
    assert str(shown[5]["place"]["height"]) == "1.25"


def test_without_a_key_the_sources_order_stands(world):
    rows = [("2024-01-09", "B", 1, "x"), ("2024-01-01", "A", 2, "x"), ("2024-01-09", "B", 1, "x")]
    world.fill("stops", rows)
    contract = world.stops()
    text = contract.read_text()
    for position in (1, 2):
        text = text.replace(f", primaryKey: true, primaryKeyPosition: {position}", "")
    contract.write_text(text)
    assert pipeline.run(world.owner, contract).records == 3
    opened = zhixin_gateway.open(DATASET, home=world.owner)
    assert [row["seats"] for row in opened.to_arrow().to_pylist()] == [1, 2, 1]
    assert pipeline.run(world.owner, contract).version is None


def test_answers_hold_no_record_and_no_address(world, capsys):
    from zhixin_gateway import cli

    world.fill("stops", [("SECRET", "SECRET", "SECRET", "SECRET"), *ROWS])
    code = cli.main(["--home", str(world.owner.path), "run", str(world.stops()), "--json"])
    out, err = capsys.readouterr()
    assert code == 0
    assert json.loads(out)["quarantined"] == 1
    assert "SECRET" not in out + err
    assert "silo.db" not in out + err
