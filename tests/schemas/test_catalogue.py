"""The catalogue's contracts over the real records: exactly the known errors, and no other."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from zhixin_errors import ConfigError
from zhixin_schemas.catalogue import catalogue_contract, catalogue_folder
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.lint import lint
from zhixin_schemas.loader import load_contract_file
from zhixin_schemas.quality import Tally

FLIGHTS, AIRLINES = "bts.gov.example/flights", "bts.gov.example/airlines"
AIRPORTS, PLANES = "faa.gov.example/airports", "faa.gov.example/planes"
WEATHER, DELAYS = "noaa.gov.example/weather", "ntsb.gov.example/delays-by-weather"
ALL = (FLIGHTS, AIRLINES, AIRPORTS, PLANES, WEATHER, DELAYS)


class Run:
    """What the rules say of a whole dataset."""

    def __init__(self, contract, table, key_sets=None):
        rules = compile_rules(contract)
        tally = Tally(rules)
        accepted, self.rejected, self.warned = [], [], 0
        for batch in table.to_batches(max_chunksize=65_536):
            verdict = rules.check(batch, key_sets)
            tally.add(verdict, batch)
            passed = pc.invert(verdict.rejected)
            accepted.append(batch.filter(passed))
            self.rejected += batch.filter(verdict.rejected).to_pylist()
            self.warned += pc.and_(passed, verdict.warned).true_count
        self.accepted = pa.Table.from_batches(accepted)
        found = tally.outcomes(rejected=len(self.rejected), now=dt.datetime.now(dt.UTC))
        self.failed = {o.rule: o.failed for o in found if o.failed}
        key = self.accepted.group_by(list(contract.primary_key)).aggregate([([], "count_all")])
        self.key_is_unique = key.num_rows == self.accepted.num_rows


@pytest.fixture(scope="module")
def runs(real_table):
    def load(dataset):
        return load_contract_file(catalogue_contract(dataset))

    found = {}
    for dataset in (AIRLINES, AIRPORTS, PLANES, WEATHER):
        contract = load(dataset)
        found[dataset] = Run(contract, real_table(contract))
    keys = {
        "dest-at-faa": found[AIRPORTS].accepted.column("faa"),
        "tailnum-at-faa": found[PLANES].accepted.column("tailnum"),
    }
    flights = load(FLIGHTS)
    found[FLIGHTS] = Run(flights, real_table(flights), keys)
    return found


@pytest.mark.parametrize("dataset", ALL)
def test_every_contract_of_the_catalogue_lints_clean(dataset):
    path = catalogue_contract(dataset)
    assert lint(path.read_bytes()) == []
    contract = load_contract_file(path)
    assert contract.dataset == dataset
    assert contract.version == "1.0.0"
    assert contract.titles.keys() == {"en", "zh"}
    for field in contract.fields:
        assert field.titles.keys() == {"en", "zh"}, field.name


def test_the_catalogue_holds_these_contracts_alone():
    files = {str(p.relative_to(catalogue_folder())) for p in catalogue_folder().rglob("*.yaml")}
    assert files == {f"{dataset}.odcs.yaml" for dataset in ALL}
    with pytest.raises(ConfigError, match="no contract of bts"):
        catalogue_contract("bts.gov.example/none")


def test_weather_loses_one_record_to_an_impossible_wind(runs):
    run = runs[WEATHER]
    assert [round(r["wind_speed"]) for r in run.rejected] == [1048]
    assert run.failed == {"wind_speed.range": 1}
    assert (run.accepted.num_rows, run.warned) == (26_114, 0)


def test_airports_lose_three_records_and_warn_of_three_zones(runs):
    run = runs[AIRPORTS]
    assert sorted(r["faa"] for r in run.rejected) == ["DVT", "EEN", "MYF"]
    assert run.failed["tzone-known"] == 3
    assert (run.accepted.num_rows, run.warned) == (1_455, 2)
    assert "SYA" in run.accepted.column("faa").to_pylist()


def test_flights_are_accepted_and_warned_of_what_faa_does_not_list(runs):
    run = runs[FLIGHTS]
    assert run.failed == {"dest-at-faa": 7_602, "tailnum-at-faa": 50_094}
    assert (run.accepted.num_rows, len(run.rejected), run.warned) == (336_776, 0, 56_295)


@pytest.mark.parametrize(("dataset", "records"), [(AIRLINES, 16), (PLANES, 3_322)])
def test_airlines_and_planes_are_sound(runs, dataset, records):
    run = runs[dataset]
    assert (run.accepted.num_rows, run.warned, run.failed) == (records, 0, {})


@pytest.mark.parametrize("dataset", [FLIGHTS, AIRLINES, AIRPORTS, PLANES, WEATHER])
def test_keys_are_unique(runs, dataset):
    assert runs[dataset].key_is_unique


def test_the_derived_dataset_joins_all_flights(runs):
    import duckdb

    contract = load_contract_file(catalogue_contract(DELAYS))
    assert contract.inputs == (FLIGHTS, PLANES, WEATHER)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for dataset in contract.inputs:
            connection.register(dataset, runs[dataset].accepted)
        table = connection.sql(contract.sql).to_arrow_table()
    assert table.schema.names == contract.schema.names
    run = Run(contract, table.cast(contract.schema))
    assert (run.accepted.num_rows, run.rejected, run.failed) == (336_776, [], {})
    assert run.key_is_unique
    assert run.accepted.column("visib").null_count == 1_556
    assert run.accepted.column("manufacturer").null_count == 50_094 + 2_512


def test_its_next_version_adds_one_column():
    import zhixin_gateway

    old = load_contract_file(catalogue_contract(DELAYS))
    folder = Path(zhixin_gateway.__file__).parent / "demo"
    new = load_contract_file(folder / "delays-by-weather-1.1.0.odcs.yaml")
    assert (new.dataset, new.version) == (DELAYS, "1.1.0")
    assert set(new.schema.names) - set(old.schema.names) == {"wind_gust"}
    assert [n for n in new.schema.names if n != "wind_gust"] == old.schema.names
    assert (new.inputs, new.primary_key) == (old.inputs, old.primary_key)
