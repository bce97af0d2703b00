"""A treated field's own value lies nowhere: not after a run, and not where it was killed."""

import base64
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zhixin_gateway.cli import main
from zhixin_gateway.datasets import directory
from zhixin_gateway.pseudonyms import export_key, import_key, load_key, make_key, pseudonym
from zhixin_schemas.loader import load_contract

DATASET = "bts.gov.example/people"
CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/people
version: 1.0.0
status: active
name: People
servers: [{server: people, type: custom}]
schema:
  - name: people
    physicalName: people.csv
    properties:
      - {name: town, logicalType: string}
      - name: id_no
        logicalType: string
        classification: restricted
        primaryKey: true
        logicalTypeOptions: {pattern: '^[0-9]{6}[A-Z]{12}$'}
        customProperties: [{property: zhixin.treatment, value: {pseudonym: citizen}}]
      - name: phone
        logicalType: integer
        unique: true
        customProperties: [{property: zhixin.treatment, value: {pseudonym: phone}}]
      - name: born
        logicalType: date
        customProperties: [{property: zhixin.treatment, value: {generalise: {to: year}}}]
      - name: income
        logicalType: integer
        customProperties:
          - {property: zhixin.treatment, value: {generalise: {step: 1000000000000000}}}
      - name: street
        logicalType: string
        logicalTypeOptions: {maxLength: 90}
        customProperties: [{property: zhixin.treatment, value: {generalise: {prefix: 2}}}]
      - {name: seats, logicalType: integer, logicalTypeOptions: {maximum: 9}}
"""
ROWS = [  # good; rejected by another field, by its own rule; late by keys; misfits; ragged; bytes
    "town,id_no,phone,born,income,street,seats",
    "A,110105QZXJWKVYGOOD,7405519930001,1949-12-31,7310938472610937,xyQZXJWKVYStreet,1",
    "A,110105QZXJWKVYSEAT,7405519930002,1949-12-30,7310938472610938,xyQZXJWKVYRoad,99",
    "A,110105QZXJWKVYform,7405519930003,1949-12-29,7310938472610939,xyQZXJWKVYLane,1",
    "A,110105QZXJWKVYTWIN,7405519930004,1949-12-28,7310938472610940,xyQZXJWKVYPath,01",
    "A,110105QZXJWKVYTWIN,7405519930005,1949-12-27,7310938472610941,xyQZXJWKVYHill,1",
    "A,110105QZXJWKVYNEXT,7405519930006,1949-12-26,7310938472610942,xyQZXJWKVYDale,1",
    "A,110105QZXJWKVYLAST,7405519930006,1949-12-25,7310938472610943,xyQZXJWKVYWold,1",
    "A,110105QZXJWKVYBORN,QZXJWKVY7405519930008,QZXJWKVY1949,QZXJWKVY731,xyQZXJWKVYFell,1",
    "A,110105QZXJWKVYMORE,7405519930009,1949-12-24,7310938472610945,xyQZXJWKVYMoor,1,QZXJWKVY",
    "QZXJWKVY,A,110105QZXJWKVYLEFT,7405519930010,1949-12-23,7310938472610946,xyQZXJWKVY,1",
    "A,110105QZXJWKVYLESS,7405519930011",
    "A,110105QZXJWKVYBYTE\\xff,7405519930012,1949-12-22,7310938472610947,xyQZXJWKVY\\xff,1",
]
CANARIES = ["QZXJWKVY", "7405519930", "1949-12", "310938472610"]
"""Parts of every treated value: the year, the first digit and two letters of the street stay."""

WORK = ("zhixin_gateway.pipeline.staging", "Work")
STEPS = {
    "while extracting": ["zhixin_gateway.pipeline.intake", "Intake", "finish", "before", 1],
    "before keys are compared": ["zhixin_gateway.pipeline.uniqueness", "KeyPile", "shared",
                                 "before", 1],
    "after keys are compared": ["zhixin_gateway.pipeline.uniqueness", "KeyPile", "shared",
                                "after", 2],
    "while late rejects are read again": ["zhixin_gateway.pipeline.rejects", "RejectPile", "close",
                                          "before", 1],
    "before the quarantine is written": ["zhixin_gateway.pipeline.intake", "", "write_quarantine",
                                         "before", 1],
    "after all is extracted": [*WORK, "save", "after", 1],
    "while parts are written": ["zhixin_gateway.datasets.writer", "VersionWriter", "write",
                                "after", 1],
    "after all is written": [*WORK, "save", "after", 2],
    "after it is signed": [*WORK, "save", "after", 3],
    "before the rename": ["zhixin_gateway.datasets.directory", "", "publish", "before", 1],
    "at the end": ["zhixin_gateway.pipeline.notarising", "", "remember_run", "after", 1],
}  # fmt: skip


def spellings(canary):
    """A text's bytes as files may hold it."""
    plain = canary.encode()
    yield plain
    yield canary.encode("utf-16-le")
    yield canary.encode("utf-16-be")
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for lead in range(3):  # base64 of it, wherever in a longer text it begins
        coded = base64.b64encode(b"\0" * lead + plain)
        yield coded[-(-lead * 8 // 6) : (lead + len(plain)) * 8 // 6]


def found(folders, canaries):
    """Every (file, canary) of the folders' files, Parquet and Arrow files decoded too."""
    hits = []
    for file in sorted(file for folder in folders for file in Path(folder).rglob("*")):
        if file.is_file():
            data = file.read_bytes() + str(file).encode() + decoded(file)
            hits += [
                (str(file), canary)
                for canary in canaries
                if any(spelling in data for spelling in spellings(canary))
            ]
    return hits


def decoded(file):
    """What a columnar file holds, as JSON; of one that was cut off, nothing."""
    try:
        if file.suffix == ".parquet":
            table = pq.read_table(file)
        elif file.suffix == ".arrow":
            with pa.OSFile(str(file), "rb") as source:
                table = pa.ipc.open_file(source).read_all()
        elif file.suffix == ".npy":
            return b""
        else:
            return b""
    except pa.ArrowInvalid:
        return b""
    return json.dumps(table.to_pylist(), default=str, ensure_ascii=False).encode()


@pytest.fixture
def people(world, tmp_path, monkeypatch):
    """A home, its contract, and a source beside it that alone holds clear values."""
    silo = tmp_path / "silo"
    silo.mkdir()
    text = "\n".join([*ROWS, ""]).encode().replace(b"\\xff", b"\xff")
    (silo / "people.csv").write_bytes(text)
    home = world.owner
    home = home.save(replace(home.filed_settings(), sources={"people": str(silo)}))
    for name in ("citizen", "phone"):
        make_key(home, name)
    contract = home.path / "contracts" / "people.odcs.yaml"
    contract.write_text(CONTRACT)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return home, contract, [world.owner.path, world.other.path, scratch]


def zhixin(capfd, *arguments):
    code = main([str(argument) for argument in arguments])
    said = capfd.readouterr()
    return code, said.out, said.err


def test_no_file_and_no_answer_of_a_run_holds_a_treated_value(people, capfd, tmp_path):
    home, contract, folders = people
    told = []
    for arguments in (
        ("--progress", "log", "run", contract),
        ("quarantine", "list", DATASET),
        ("quarantine", "show", DATASET),
        ("quarantine", "show", DATASET, "--json"),
        ("cat", DATASET, "--format", "csv"),
        ("status", "--json"),
        ("lineage", DATASET, "--json"),
    ):
        code, out, err = zhixin(capfd, "--home", home.path, *arguments)
        assert code == 0, err
        told.append(out + err)
    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "told.txt").write_text("\n".join(told))
    assert found([*folders, tmp_path / "told"], CANARIES) == []

    rejects = pq.read_table(home.quarantine / DATASET / "1.parquet").to_pylist()
    assert [row["_row"] for row in rejects] == list(range(1, 12))
    key = load_key(home, "citizen")
    assert rejects[0]["id_no"] == pseudonym(
        key, "110105QZXJWKVYSEAT"
    )  # a steward with the key finds it
    assert (rejects[0]["born"], rejects[0]["income"], rejects[0]["street"]) == (
        "1949-01-01", "7000000000000000", "xy",
    )  # fmt: skip
    assert rejects[2]["seats"] == "01"  # a late reject's other fields are as the source gave them
    assert rejects[6]["phone"] == "unread:" + pseudonym(
        load_key(home, "phone"), "QZXJWKVY7405519930008"
    )
    assert rejects[6]["born"] == rejects[6]["income"] == "(withheld)"
    told = [text for name, text in rejects[7].items() if not name.startswith("_")]
    assert told == ["(withheld)"] * 7  # nobody knows which field a text is of
    quality = json.loads((home.store / DATASET / "1" / "manifest.json").read_bytes())["quality"]
    lines = {item["rule"]: (item["checked"], item["failed"]) for item in quality}
    assert lines["id_no.pseudonym"] == lines["born.generalise"] == ("12", "0")
    assert lines["id_no.pattern"][1] == "1"  # judged by the clear value


def test_what_is_searched_for_would_be_found(people, tmp_path, capfd):
    """The search itself, by the same run of a contract that treats nothing."""
    home, contract, folders = people
    lines = CONTRACT.splitlines()
    lines = [line for line in lines if "customProp" not in line and "{property" not in line]
    contract.write_text("\n".join(lines).replace("restricted", "internal"))
    assert zhixin(capfd, "--home", home.path, "run", contract)[0] == 0
    assert {canary for _, canary in found(folders, CANARIES)} == set(CANARIES)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_killed_anywhere_a_run_leaves_no_treated_value(people, runner, step):
    home, contract, folders = people
    assert runner(home, contract, step) == -signal.SIGKILL
    assert found(folders, CANARIES) == []


def test_a_trial_leaves_none_either_while_it_lasts(people, capfd, monkeypatch):
    home, contract, folders = people
    from zhixin_gateway.pipeline.intake import Intake

    finish, seen = Intake.finish, []

    def watched(self, source):
        answer = finish(self, source)
        seen.append(len([path for path in folders[2].rglob("*") if path.is_file()]))
        assert found(folders, CANARIES) == []
        return answer

    monkeypatch.setattr(Intake, "finish", watched)
    code, out, err = zhixin(
        capfd, "contract", "lint", contract, "--against", home.settings.sources["people"]
    )
    assert code in (0, 1), err
    assert seen[0] > 3  # there were piles
    assert not [canary for canary in CANARIES if canary in out + err]


@pytest.mark.slow
def test_no_report_of_great_expectations_holds_one(people, capfd):
    home, contract, folders = people
    code, _, err = zhixin(capfd, "--home", home.path, "run", contract, "--report")
    assert code == 0, err
    assert list(home.reports.rglob("*.html"))
    assert found([*folders, home.reports], CANARIES) == []


def test_rules_that_judged_clear_values_are_not_second_checked():
    from zhixin_schemas.suite import build_suite

    suite = build_suite(load_contract(CONTRACT.encode()))
    assert [item.rule for item in suite.expectations] == [
        "id_no.required", "phone.unique", "seats.range", "primary-key",
    ]  # fmt: skip
    assert suite.not_checked == ("id_no.pattern", "street.length")


def test_without_its_key_nothing_is_read_and_the_way_out_is_said(people, capfd):
    home, contract, _ = people
    (home.keys_dir / "pseudonym-phone").unlink()
    code, _, err = zhixin(capfd, "--home", home.path, "run", contract)
    assert code == 2
    assert "this home has no key phone" in err
    assert "zhixin pseudonym make phone" in err
    assert home.ledger_client().sync().contract(DATASET) is None


def test_a_record_is_proved_by_its_pseudonym(people, capfd):
    home, contract, _ = people
    assert zhixin(capfd, "--home", home.path, "run", contract)[0] == 0
    done = subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", "--home", home.path, "pseudonym", "of",
         contract, "id_no"],
        input="110105QZXJWKVYGOOD\n", capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    number = done.stdout.strip()
    path = directory.version_path(home.store, DATASET, 1)
    code, out, err = zhixin(
        capfd, "--home", home.path, "prove", path, "--where", f"id_no = '{number}'"
    )
    assert code == 0, err
    assert number in out


def test_a_relationship_of_a_treated_field_is_over_pseudonyms(people, capfd):
    home, contract, folders = people
    silo = Path(home.settings.sources["people"])
    (silo / "people.csv").write_text(
        "town,id_no,phone,born,income,street,seats,kin\n"
        "A,110105QZXJWKVYGOOD,7405519930001,,,,1,110105QZXJWKVYKIND\n"
        "A,110105QZXJWKVYKIND,7405519930002,,,,1,\n"
        "A,110105QZXJWKVYMISS,7405519930003,,,,1,110105QZXJWKVYNONE\n"
    )
    contract.write_text(
        CONTRACT
        + "      - name: kin\n"
        + "        logicalType: string\n"
        + "        customProperties: [{property: zhixin.treatment, value: {pseudonym: citizen}}]\n"
        + "        relationships:\n"
        + "          - {to: bts.gov.example/people.yaml#/schema/people/properties/id_no}\n"
    )
    code, _, err = zhixin(capfd, "--home", home.path, "run", contract)
    assert code == 0, err
    assert "2 records, 1 quarantined" in err
    assert "kin.reference: 1 of 3" in err
    assert found(folders, CANARIES) == []


def test_two_members_with_one_key_relate_pseudonyms_to_pseudonyms(world, capfd, at_faa, tmp_path):
    treated = "        customProperties: [{property: zhixin.treatment, value: {pseudonym: code}}]\n"
    places = world.places()
    places.write_text(
        places.read_text().replace(
            "{name: code, logicalType: string, primaryKey: true, primaryKeyPosition: 1, "
            "required: true}",
            "name: code\n        logicalType: string\n        primaryKey: true\n"
            + treated.rstrip(),
        )
    )
    stops = world.stops(place=treated + at_faa)
    world.fill("places", [("JFK", "x")])
    world.fill("stops", [("2024-01-01", "A", 1, "JFK"), ("2024-01-02", "B", 1, "XXX")])
    make_key(world.other, "code")
    assert zhixin(capfd, "--home", world.other.path, "run", places)[0] == 0
    against = ("--home", world.owner.path, "contract", "lint", stops, "--against",
               f"sqlite:///{world.database}", "--json")  # fmt: skip
    code, out, err = zhixin(capfd, *against)
    (left,) = json.loads(out)["against"]["left_out"]
    assert (left["rule"], "no key code" in left["reason"]) == ("place-at-faa", True)

    export_key(world.other, "code", tmp_path / "code.key")
    import_key(world.owner, "code", tmp_path / "code.key")
    code, out, err = zhixin(capfd, *against)
    tried = {rule["rule"]: rule["failed"] for rule in json.loads(out)["against"]["rules"]}
    assert tried["place-at-faa"] == 1, err
    code, out, err = zhixin(capfd, "--home", world.owner.path, "run", stops)
    assert code == 0, err
    assert "place-at-faa: 1 of 2" in err
