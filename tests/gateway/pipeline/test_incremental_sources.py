"""The same history from every kind of source, read by a watermark that is a time."""

from __future__ import annotations

import datetime as dt

import pyarrow.parquet as pq
import pytest
import zhixin_gateway
from zhixin_errors import PermanentSourceError
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import parse_manifest

DATASET = "bts.gov.example/visits"
CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/visits
version: {version}
status: active
name: Visits
servers:
  - server: silo
    type: custom
    customProperties:
      - {{property: zhixin.watermark, value: changed}}
      - {{property: zhixin.incremental, value: key}}
      - {{property: zhixin.lateness, value: PT1H}}
      - {{property: zhixin.deleted, value: ended}}
schema:
  - name: visits
    physicalName: {name}
    logicalType: object
    properties:
      - {{name: place, logicalType: string, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: n, logicalType: integer, primaryKey: true, primaryKeyPosition: 2}}
      - {{name: changed, logicalType: timestamp{zone}}}
      - {{name: fee, logicalType: number, physicalType: "decimal(7,2)"}}
      - {{name: ended, logicalType: timestamp{zone}}}
"""
ZONE = ", logicalTypeOptions: {timezone: true}"


class Silo:
    """A table in some source; rows are texts, None for null."""

    zone = ""
    name = "visits"

    def __init__(self):
        self.rows = {}

    def put(self, key, changed, fee="1.00", ended=None):
        self.rows[key] = (*key, changed, fee, ended)

    def literals(self):
        for row in self.rows.values():
            yield ", ".join("NULL" if v is None else f"'{v}'" for v in row)


class Csv(Silo):
    name = "visits.csv"

    def __init__(self, folder):
        super().__init__()
        self.path = folder / self.name
        self.url = str(self.path)

    def save(self):
        lines = ["place,n,changed,fee,ended"]
        lines += [",".join("" if v is None else str(v) for v in row) for row in self.rows.values()]
        self.path.write_text("\n".join(lines) + "\n")


class Sql(Silo):
    def __init__(self, url, run, types):
        super().__init__()
        self.url, self.execute, self.types = url, run, types

    def save(self):
        self.execute("DROP TABLE IF EXISTS visits")
        self.execute(f"CREATE TABLE visits ({self.types})")
        for literals in self.literals():
            self.execute(f"INSERT INTO visits VALUES ({literals})")


@pytest.fixture(params=["csv", "postgresql", "mariadb", "sqlite"])
def silo(request, tmp_path):
    if request.param == "csv":
        yield Csv(tmp_path)
        return
    times = {"mariadb": "datetime(6)", "postgresql": "timestamptz", "sqlite": "text"}[request.param]
    digits = "numeric(9,3)"
    types = f"place varchar(20), n bigint, changed {times}, fee {digits}, ended {times}"
    if request.param == "mariadb":
        url, run = request.getfixturevalue("mariadb")
        yield Sql(url, run, types)
        return
    import sqlalchemy as sa

    url = f"sqlite:///{tmp_path / 'silo.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))

    def run(sql):
        with engine.begin() as connection:
            connection.execute(sa.text(sql))

    found = Sql(url, run, types)
    found.zone = ZONE if request.param == "postgresql" else ""
    yield found
    engine.dispose()


@pytest.fixture
def visits(world, silo):
    """Runs the dataset over what the silo holds now."""
    home = zhixin_gateway.Home.open(world.owner.path, sources={"silo": silo.url})
    path = home.path / "contracts" / "visits.odcs.yaml"
    path.write_text(CONTRACT.format(version="1.0.0", name=silo.name, zone=silo.zone))

    def run(**options):
        silo.save()
        return pipeline.run(home, path, **options)

    run.home = home
    return run


def records(home, version):
    path = directory.version_path(home.store, DATASET, version)
    parts = parse_manifest((path / "manifest.json").read_bytes()).parts
    found = [row for part in parts for row in pq.read_table(path / part.path).to_pylist()]
    return {(row["place"], row["n"]): str(row["fee"]) for row in found}


def test_late_deleted_corrected_and_rejected_rows_of_every_source(visits, silo):
    for n in range(8):
        silo.put(("LGA" if n % 2 else "Jfk", n), f"2026-03-01 0{n}:00:00.000001")
    assert visits().version == 1
    assert visits().version is None
    silo.put(("ewr", 1), "2026-03-01 06:30:00")  # late, in time
    silo.put(("LGA", 1), "2026-03-01 08:00:00", fee="2.50")
    silo.put(("LGA", 3), "2026-03-01 08:00:00", ended="2026-03-01 07:59:00")
    silo.put(("Jfk", 2), "2026-03-01 08:00:00", fee="0.125")  # no form with two digits
    silo.put(("Jfk", 4), None, fee="4.00")
    result = visits()
    told = result.incremental
    assert (told["how"], told["read"], told["deleted"]) == ("key", 7, 1)
    expected = {
        ("Jfk", 0): "1.00", ("Jfk", 4): "4.00", ("Jfk", 6): "1.00", ("LGA", 1): "2.50",
        ("LGA", 5): "1.00", ("LGA", 7): "1.00", ("ewr", 1): "1.00",
    }  # fmt: skip
    assert records(visits.home, 2) == expected
    assert (result.records + result.quarantined, result.extracted) == (8, 8)
    silo.put(("Jfk", 0), "2026-03-01 09:00:00.5")
    assert visits().version == 3
    silo.put(("Jfk", 2), "2026-03-01 10:00:00", fee="3.00")
    result = visits()
    assert (result.records, result.quarantined) == (8, 0)
    assert visits(full=True).version is None


def test_a_source_put_back_to_an_earlier_state_is_refused(visits, silo):
    silo.put(("a", 1), "2026-03-01 08:00:00")
    silo.put(("b", 1), "2026-03-01 09:00:00")
    assert visits().version == 1
    del silo.rows["b", 1]
    with pytest.raises(PermanentSourceError) as caught:
        visits()
    assert caught.value.code == "watermark-backwards"
    assert visits(full=True).version == 2


def test_a_watermark_in_the_future_is_not_gone_on_from(visits, silo):
    late = dt.datetime.now(dt.UTC) + dt.timedelta(days=4)
    silo.put(("a", 1), "2026-03-01 08:00:00")
    silo.put(("b", 1), f"{late:%Y-%m-%d} 09:00:00")
    assert visits().version == 1
    silo.put(("a", 1), "2026-03-01 09:00:00", fee="5.00")
    result = visits()
    assert result.incremental["why"] == "the watermark of version 1 lies in the future"
    assert records(visits.home, 2)["a", 1] == "5.00"
