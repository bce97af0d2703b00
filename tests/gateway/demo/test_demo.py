"""The main job as a user meets it: one command, real records, exact counts, refusals."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.demo.records import raw_file
from zhixin_gateway.demo.world import BTS, FAA, NOAA, open_world
from zhixin_gateway.pipeline import run
from zhixin_gateway.progress import NullProgress

from tests.connectors.hostile_http import HostileServer, Reply, paged

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]

# From the issue of the records themselves, not from a run: dataset, version, records accepted,
# quarantined, warned.
DUE = [
    ("faa.gov.example/airports", 1, 1_455, 3, 2),
    ("faa.gov.example/planes", 1, 3_322, 0, 0),
    ("noaa.gov.example/weather", 1, 26_114, 1, 0),
    ("bts.gov.example/airlines", 1, 16, 0, 0),
    ("bts.gov.example/flights", 1, 336_776, 0, 56_295),
    ("ntsb.gov.example/delays-by-weather", 1, 336_776, 0, 0),
    ("ntsb.gov.example/delays-by-weather", 2, 336_776, 0, 0),
]
WITHDRAWN = ("ntsb.gov.example/delays-by-weather", 1)


def zhixin(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def home_of(folder: Path, dataset: str) -> Path:
    return folder / dataset.partition("/")[0]


def verdict(folder: Path, version: dict, *options: str, path: Path | None = None) -> dict:
    home = home_of(folder, version["dataset"])
    done = zhixin("--home", home, "verify", path or version["path"], "--json", *options)
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["ok"] else 1)
    return answer


def rules(version: dict) -> dict[str, tuple[int, int]]:
    manifest = parse_manifest((Path(version["path"]) / "manifest.json").read_bytes())
    return {item.rule: (item.checked, item.failed) for item in manifest.quality}


def find(answer: dict, dataset: str, version: int = 1) -> dict:
    [found] = [
        item
        for item in answer["versions"]
        if (item["dataset"], item["version"]) == (dataset, version)
    ]
    return found


def test_publishes_exactly_what_is_due(demo) -> None:
    _, answer = demo
    names = ("dataset", "version", "records", "quarantined", "warned")
    assert [tuple(item[name] for name in names) for item in answer["versions"]] == DUE
    assert all(item["cosigners"] >= 3 for item in answer["versions"])


def test_shows_each_thing_as_it_must(demo) -> None:
    _, answer = demo
    assert [item["code"] for item in answer["shown"]] == [None] * 7 + [
        "part-digest",
        "manifest",
        "withdrawn",
    ]


def test_quarantines_exactly_the_records_in_error(demo) -> None:
    folder, _ = demo
    for dataset, column, due in [
        ("faa.gov.example/airports", "faa", {"DVT", "MYF", "EEN"}),
        ("noaa.gov.example/weather", "wind_speed", {"1048.36058"}),
    ]:
        done = zhixin(
            "--home", home_of(folder, dataset), "quarantine", "show", f"{dataset}@1", "--json"
        )
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        rows = rows[0] if rows and isinstance(rows[0], list) else rows
        assert {row[column] for row in rows} == due
        assert all(row["_reasons"] for row in rows)


def test_warns_of_exactly_the_flights_that_faa_does_not_list(demo) -> None:
    _, answer = demo
    counts = {failed for _, failed in rules(find(answer, "bts.gov.example/flights")).values()}
    assert {7_602, 50_094} <= counts


def test_a_second_demo_publishes_nothing(demo) -> None:
    folder, before = demo
    done = zhixin("demo", folder, "--json")
    after = json.loads(done.stdout)
    assert done.returncode == 0
    assert after["published"] == 0
    assert "nothing changed" in done.stderr
    roots = [[item["root"] for item in answer["versions"]] for answer in (before, after)]
    assert roots[0] == roots[1]


def test_verifies_every_standing_version_deep_and_refuses_the_withdrawn(demo) -> None:
    folder, answer = demo
    for version in answer["versions"]:
        said = verdict(folder, version, "--deep")
        expected = "withdrawn" if (version["dataset"], version["version"]) == WITHDRAWN else None
        assert said["code"] == expected
        assert said["ok"] == (expected is None)


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("part-00000.parquet", "flip", "part-digest"),
        ("part-00000.parquet", "remove", "part-missing"),
        ("manifest.json", "flip", "manifest"),
        ("contract.yaml", "flip", "contract"),
        ("statement.json", "truncate", "malformed"),
        ("receipt.tlog-proof", "truncate", "malformed"),
        ("surplus.txt", "add", "unlisted-file"),
    ],
)
def test_refuses_every_tampered_copy(demo, tmp_path, name, change, code) -> None:
    folder, answer = demo
    for version in answer["versions"]:
        if (version["dataset"], version["version"]) == WITHDRAWN:
            continue
        copy = tmp_path / version["dataset"] / str(version["version"])
        shutil.copytree(version["path"], copy)
        tamper(copy / name, change)
        assert verdict(folder, version, path=copy)["code"] == code


def tamper(file: Path, change: str) -> None:
    if change == "add":
        file.write_text("a note")
        return
    data = bytearray(file.read_bytes())
    file.unlink()
    if change == "flip":
        # The form stays what it was: a digit of a digest, a letter of a contract, a byte of a part.
        places = {"manifest.json": data.find(b'"root":"') + 8, "contract.yaml": 0}
        at = places.get(file.name, len(data) // 2)
        data[at] = ord("0") if data[at] == ord("1") else ord("1")
        file.write_bytes(data)
    elif change == "truncate":
        file.write_bytes(data[:-1])


def test_one_record_is_proved_without_the_dataset(demo, tmp_path) -> None:
    folder, _ = demo
    [proof] = (folder / "shown").glob("*.json")
    trust = tmp_path / "trust"
    shutil.copytree(folder / "ntsb.gov.example" / "trust", trust)
    good = zhixin("verify-record", proof, "--trust", trust, "--expect", "faa.gov.example/planes")
    assert good.returncode == 0
    changed = tmp_path / "changed.json"
    changed.write_bytes(proof.read_bytes().replace(b"N14228", b"N14229"))
    refused = zhixin("verify-record", changed, "--trust", trust, "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["code"] == "record"


def test_the_ledger_of_every_member_is_clean(demo) -> None:
    folder, _ = demo
    for home in sorted(folder.glob("*.gov.example")):
        assert zhixin("--home", home, "ledger", "fsck").returncode == 0


def test_the_second_opinion_left_its_report_with_the_owner(demo) -> None:
    folder, _ = demo
    assert list((folder / FAA / "reports").rglob("index.html"))


def test_lineage_names_the_three_inputs(demo) -> None:
    folder, _ = demo
    name = "ntsb.gov.example/delays-by-weather@2"
    done = zhixin("--home", home_of(folder, name), "lineage", name, "--json")
    assert done.returncode == 0
    for dataset in (
        "bts.gov.example/flights",
        "faa.gov.example/planes",
        "noaa.gov.example/weather",
    ):
        assert dataset in done.stdout


@pytest.fixture
def weather_server():
    """NOAA's stations as an agency serves them: JSON, page after page, each naming the next."""
    with raw_file("weather") as data:
        rows = list(csv.DictReader(io.StringIO(data.read().decode())))
    pages = paged(rows, 5_000)

    def page(request):
        number = int(request.query.get("page", "1"))
        body = "[" + ",".join(map(station_json, pages[number - 1])) + "]"
        following = f'</weather?page={number + 1}>; rel="next"' if number < len(pages) else ""
        return Reply(body.encode(), headers={"link": following})

    server = HostileServer({"/weather": page})
    yield server.url
    server.close()


def station_json(row):
    """Numbers with the digits that the station sent."""
    members = []
    for name, text in row.items():
        written = name not in {"origin", "time_hour"} or text == "NA"
        value = "null" if text == "NA" else text if written else json.dumps(text)
        members.append(f"{json.dumps(name)}:{value}")
    return "{" + ",".join(members) + "}"


def test_servers_give_the_same_contents_as_sqlite_and_files(
    demo, tmp_path, postgresql_url, mariadb_url, weather_server
) -> None:
    """BTS in PostgreSQL, FAA in MariaDB, NOAA over HTTP: all five published datasets."""
    world = open_world(
        tmp_path / "world",
        {BTS: postgresql_url, FAA: mariadb_url, NOAA: weather_server},
        NullProgress(),
    )
    paging(world.contract("noaa.gov.example/weather"))
    hold_to(demo, world, DUE[:5])


def test_databases_give_the_same_contents_of_what_others_keep_in_files(
    demo, tmp_path, postgresql_url, mariadb_url
) -> None:
    urls = {FAA: postgresql_url, NOAA: mariadb_url}
    hold_to(demo, open_world(tmp_path / "world", urls, NullProgress()), DUE[:3])


def hold_to(demo, world, due) -> None:
    """Publish in another world: the counts that are due, and the `content` of every part."""
    _, answer = demo
    for dataset, _, records, quarantined, warned in due:
        result = run(world.home(dataset.partition("/")[0]), world.contract(dataset))
        counts = (result.records, result.quarantined, result.warned)
        assert counts == (records, quarantined, warned)
        assert contents(result.path) == contents(find(answer, dataset)["path"]), dataset


def paging(contract) -> None:
    """Say in a contract how its server turns pages."""
    text, null = contract.read_text("utf-8"), "      - {property: zhixin.null, value: [NA]}\n"
    assert null in text
    more = null + "      - {property: zhixin.paging, value: link}\n"
    contract.write_text(text.replace(null, more), "utf-8")


def contents(path) -> list[str]:
    manifest = parse_manifest((Path(path) / "manifest.json").read_bytes())
    return [part.content for part in manifest.parts]


WATCHED = """
import json, os, sys
seen = set()
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "sqlite3.connect") and arguments:
        if isinstance(arguments[0], (str, bytes)):
            seen.add(os.path.abspath(os.fsdecode(arguments[0])))
sys.addaudithook(hook)
from zhixin_gateway.cli import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(json.dumps(sorted(seen)))
sys.exit(code)
"""


def test_a_member_opens_no_home_but_its_own(demo, tmp_path) -> None:
    """Apart from the ledger's transport, and from other members' stores, which ``get`` reads."""
    folder, _ = demo
    world, own = tmp_path / "world", "ntsb.gov.example"
    shutil.copytree(folder, world, ignore=shutil.ignore_patterns("silos", "tampered"))
    shutil.rmtree(world / own / "store" / "noaa.gov.example")
    contract = world / own / "contracts" / "delays-by-weather.odcs.yaml"
    told = tmp_path / "opened.json"
    command = ["--home", world / own, "run", contract, "--force"]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, told, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    opened = {
        Path(each).relative_to(world).parts
        for each in json.loads(told.read_text())
        if each.startswith(str(world) + "/")
    }
    others = {parts for parts in opened if parts and parts[0] != own}
    assert any(parts[0] == own for parts in opened)
    transport = {("ledger",), ("log",), ("keys", "cosigner.pem"), ("keys", "log.pem")}
    strange = {
        parts
        for parts in others
        if parts[1:] != ("keys",)  # the folder's names alone: which cosigner keys there are
        and parts[1:2] != ("store",)
        and not any(parts[1 : 1 + len(t)] == t for t in transport)
    }
    assert strange == set()
    assert {parts[0] for parts in others if parts[1:2] == ("store",)} == {"noaa.gov.example"}
