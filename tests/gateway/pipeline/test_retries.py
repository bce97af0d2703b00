"""A run over a bad network: it begins anew, twice at most, and publishes each record once or none.

Through the command line, with a real PostgreSQL behind a relay that cuts.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from zhixin_errors import TransientSourceError, ZhixinError
from zhixin_gateway import pipeline
from zhixin_gateway.home import Home
from zhixin_gateway.pipeline import extraction, sorting
from zhixin_gateway.pipeline.outcome import check_balance

from tests.connectors.relay import Relay
from tests.field.conftest import Agency

ROWS = 60_000
TABLE = f"""DROP TABLE IF EXISTS parcels; CREATE TABLE parcels AS SELECT n AS id,
            CASE n % 1000 WHEN 0 THEN 'oak' ELSE n::text END AS weight, repeat('geheim', 9) AS note
            FROM generate_series(1, {ROWS}) n"""
BAD = ROWS // 1000
FIELDS = {"id": "integer", "weight": "integer", "note": "string"}


@pytest.fixture
def agency(zhixin, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "_WAITS_S", (0.05, 0.1))
    assert zhixin("init", "agency.gov.example").code == 0
    return Agency(zhixin, tmp_path / "agency.gov.example")


@pytest.fixture
def parcels(postgresql_url, agency, monkeypatch):
    """The address of a table of 60,000 records, of which 60 are rejects; and its contract."""
    import psycopg
    import sqlalchemy as sa

    with psycopg.connect(postgresql_url) as connection:
        connection.execute(TABLE)
    at = sa.make_url(postgresql_url)

    monkeypatch.setenv("ZHIXIN_SOURCES_OFFICE_SECRET", at.password)

    def source(port):
        return agency.source("office", f"postgresql://{at.username}@{at.host}:{port}/{at.database}")

    source(at.port)
    return SimpleNamespace(port=at.port, source=source, contract=agency.contract("parcels", FIELDS))


def left_behind(agency):
    """What lies in the home's staging, and in the store beside whole versions."""
    staging = agency.home / "staging" / agency.member
    beside = (agency.home / "store").rglob(".staging*")
    return [*(staging.iterdir() if staging.is_dir() else ()), *beside]


def test_a_connection_cut_once_costs_a_second_reading_and_nothing_else(agency, parcels):
    with Relay(parcels.port, cut_after=2_000_000, times=1) as relay:
        parcels.source(relay.port)
        run = agency.run(parcels.contract)
    assert run.code == 0, run.err
    assert "it is read anew in" in run.err
    assert "attempt 2 of 3" in run.err
    assert "geheim" not in run.err
    told = run.json
    assert (told["extracted"], told["records"], told["quarantined"]) == (ROWS, ROWS - BAD, BAD)
    assert agency.manifest("parcels")["records"] == str(ROWS - BAD)
    assert len(agency.rejects("parcels")) == BAD
    ids = [row[0] for row in agency.rows("parcels")]
    assert len(ids) == len(set(ids)) == ROWS - BAD
    assert left_behind(agency) == []


def test_a_connection_that_is_always_cut_ends_the_run_and_leaves_nothing(agency, parcels):
    with Relay(parcels.port, cut_after=2_000_000) as relay:
        parcels.source(relay.port)
        run = agency.run(parcels.contract)
        assert relay.connections >= 3
    assert run.code == 3
    assert run.json["error"]["code"] == "source-unavailable"
    assert "source office, parcels" in run.json["error"]["message"]
    assert run.err.count("it is read anew in") == 2
    assert "geheim" not in run.out + run.err
    assert agency.versions("parcels") == []
    assert left_behind(agency) == []
    assert not (agency.home / "quarantine" / agency.member / "parcels").exists()
    parcels.source(parcels.port)
    again = agency.run(parcels.contract)
    assert (again.code, again.json["version"], again.json["extracted"]) == (0, 1, ROWS)


def test_what_will_not_pass_is_not_tried_again(agency, parcels):
    run = agency.run(agency.contract("parcels", FIELDS, table="parcel"))
    assert (run.code, run.json["error"]["code"]) == (2, "object-missing")
    assert "read anew" not in run.err
    renamed = agency.contract("parcels", {"id": "integer", "remark": "string"})
    run = agency.run(renamed)
    assert (run.code, run.json["error"]["code"]) == (2, "column-missing")
    assert "note" in run.json["error"]["message"]
    assert agency.run(agency.contract("parcels", FIELDS)).code == 0  # 1.0.0 was not stated yet


def test_nothing_stays_of_a_reading_that_failed(agency, monkeypatch):
    """The table is shorter when it is read anew, so that no run of the first is written over."""
    monkeypatch.setattr(sorting, "RunWriter", partial(sorting.RunWriter, run_bytes=1))
    agency.sqlite("CREATE TABLE t (id TEXT); INSERT INTO t VALUES ('1'), ('a'), ('2'), ('b'), (3)")
    contract = agency.contract("t", {"id": {"type": "integer", "unique": True}})
    opened = Home.open_source

    def cut_once(home, *arguments):
        connector = opened(home, *arguments)

        def read(request):
            yield from connector.read(replace(request, batch_rows=1))
            if not cut:
                cut.append(True)
                agency.sqlite("DELETE FROM t WHERE id > '2'")
                raise TransientSourceError("the connection is lost")

        return SimpleNamespace(read=read, columns=connector.columns, name=connector.name)

    cut = []
    monkeypatch.setattr(Home, "open_source", cut_once)
    run = agency.run(contract)
    assert run.code == 0, run.err
    assert (run.json["extracted"], run.json["records"], run.json["quarantined"]) == (2, 2, 0)
    assert agency.rows("t") == [["1"], ["2"]]
    assert agency.rejects("t") == []


def test_an_interrupt_ends_the_waiting_at_once(agency, parcels):
    with Relay(parcels.port, refuse=True) as relay:
        parcels.source(relay.port)
        with subprocess.Popen(
            [sys.executable, "-m", "zhixin_gateway.cli", "--home", str(agency.home), "run",
             str(parcels.contract)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        ) as process:  # fmt: skip
            for line in process.stderr:
                if "it is read anew in" in line:
                    break
            began = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            process.stderr.read()
            assert process.wait(20) != 0
    assert time.monotonic() - began < 2
    assert left_behind(agency) == []
    parcels.source(parcels.port)
    assert agency.run(parcels.contract, "--dry-run").json["extracted"] == ROWS


def test_what_was_counted_apart_must_add_up(agency, monkeypatch):
    check_balance(10, 7, 3)
    with pytest.raises(ZhixinError, match="10 records were extracted, but 7 accepted and 2"):
        check_balance(10, 7, 2)
    agency.sqlite("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1), (2), (2), (NULL)")
    contract = agency.contract("t", {"id": {"type": "integer", "unique": True, "required": True}})
    from zhixin_gateway.pipeline import writing

    def lossy(*arguments):
        return (batch.slice(1) for batch in kept(*arguments))

    kept = writing.passed_records
    monkeypatch.setattr(writing, "passed_records", lossy)
    run = agency.run(contract)
    assert (run.code, run.json["error"]["code"]) == (4, "records-lost")
    assert agency.versions("t") == []
    assert left_behind(agency) == []
    monkeypatch.setattr(writing, "passed_records", kept)
    told = agency.run(contract).json
    assert (told["extracted"], told["records"], told["quarantined"]) == (4, 1, 3)


def test_a_source_that_is_gone_after_its_reading_costs_no_record(agency):
    """Raw texts of records that share a key are read once more; without it their values stand."""
    agency.sqlite("CREATE TABLE t (id TEXT); INSERT INTO t VALUES ('1'), ('02'), ('2'), ('3')")
    contract = agency.contract("t", {"id": {"type": "integer", "unique": True}})
    opened = Home.open_source

    def once(home, *arguments):
        connector = opened(home, *arguments)
        readings = [connector.read]

        def read(request):
            if not readings:
                raise TransientSourceError("the source is gone")
            return readings.pop()(request)

        return SimpleNamespace(read=read, columns=connector.columns, name=connector.name)

    home = Home.open(agency.home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Home, "open_source", once)
        result = pipeline.run(home, contract)
    assert (result.extracted, result.records, result.quarantined) == (4, 2, 2)
    assert sorted(raw for *_, raw in agency.rejects("t")) == ["2", "2"]
