"""Field cases of JSON, from a file and over HTTP, through the command line (fc_23)."""

import json
import logging
from decimal import Decimal

import pytest
from zhixin_connectors.options import SECRET as SECRET_OPTION
from zhixin_connectors.options import Secret

from tests.connectors.hostile_http import HostileServer, Reply, paged

FIELDS = {"id": "unsigned", "amount": "decimal(20,2)"}
SECRET = "hunter2-s3cr3t"
NUMBERS, NAN, TWICE = "23-json-numbers.json", "23-json-nan.json", "23-json-twice.json"


@pytest.fixture(params=["file", "http"])
def payments(request, agency):
    """Gives the contract of a case's file, read where it lies or over HTTP."""
    server = HostileServer()

    def contract(file):
        agency.files(file)
        if request.param == "file":
            return agency.contract(
                "payments", FIELDS, table=file, key=("id",), records="items", total="total"
            )
        data = (agency.inbox / file).read_bytes()
        server.routes["/v1/payments"] = lambda _: Reply(data)
        agency.source("api", f"{server.url}/v1")
        return agency.contract(
            "payments", FIELDS, table="payments", source="api", key=("id",), records="items",
            total="total",
        )  # fmt: skip

    yield contract
    server.close()


def test_fc_23_amounts_and_ids_are_those_of_the_literals(agency, payments):
    ran = agency.run(payments(NUMBERS))
    assert ran.code == 0, ran.err
    assert (ran.json["records"], ran.json["quarantined"]) == (4, 2)
    assert agency.rows("payments") == [
        ["3", "12345678901234567.89"],
        ["6", "0.00"],
        ["9007199254740993", "1.10"],
        ["9223372036854775808", "2.00"],
    ]
    assert agency.rejects("payments") == [
        (3, "amount", "amount.type", "0.1000000000000000055511151231257827"),
        (4, "amount", "amount.type", "1e400"),
    ]
    assert agency.messages("payments") == {
        (3, "amount"): "more than 2 decimals",
        (4, "amount"): "more than 18 digits before the point",
    }
    assert agency.manifest("payments")["quarantined"] == "2"
    assert agency.manifest("payments")["records"] == "4"
    assert agency.texts("payments")[0] == '["3","12345678901234567.89"]'


def test_fc_23_a_number_that_is_none_makes_a_document_no_json(agency, payments):
    ran = agency.run(payments(NAN))
    assert ran.code == 2
    assert "not JSON: a number that is not finite" in ran.err
    assert agency.versions("payments") == []


def test_fc_23_a_record_that_says_two_things_is_rejected_and_neither_is_taken(agency, payments):
    ran = agency.run(payments(TWICE))
    assert (ran.code, ran.json["error"]["code"]) == (1, "all-rejected")
    assert agency.versions("payments") == []
    assert [reject[:3] for reject in agency.rejects("payments")] == [(0, "", "record.form")]
    assert agency.messages("payments") == {(0, ""): "a member stands in it twice"}
    said = agency.zhixin("quarantine", "show", agency.name("payments"), "--json")
    assert "6.00" not in said.out.replace('"amount":5.00,"amount":6.00', "")


def test_fc_23_the_same_numbers_in_lines_and_in_csv_have_the_same_content(agency):
    records = json.loads(
        (agency.inbox.parent / agency.files(NUMBERS)).name and
        (agency.inbox / NUMBERS).read_text(), parse_float=Decimal
    )["items"]  # fmt: skip
    good = [record for record in records if record["id"] not in {4, 5}]
    lines = "".join(f'{{"amount":"{r["amount"]}","id":{r["id"]}}}\n' for r in good)
    agency.file("lines.jsonl", lines)
    agency.file("rows.csv", "id,amount\n" + "".join(f"{r['id']},{r['amount']}\n" for r in good))
    contents = []
    for name, table in (("lines", "lines.jsonl"), ("rows", "rows.csv")):
        ran = agency.run(agency.contract(name, FIELDS, table=table, key=("id",)))
        assert ran.code == 0, ran.err
        contents.append(agency.contents(name))
    contract = agency.contract("whole", FIELDS, table=NUMBERS, key=("id",), records="items")
    assert agency.run(contract).code == 0
    assert contents == [agency.contents("whole")] * 2


# --- a source over HTTP as a member has it


@pytest.fixture
def api():
    """A server that wants a token and gives 250 records in pages."""
    pages = paged([{"id": n, "amount": n / 4} for n in range(250)], 100)

    def payments(request):
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return Reply({"error": SECRET}, 401)
        if request.number == 2:
            return Reply(b"", 503, {"retry-after": "0"})
        at = int(request.query.get("after", 0))
        return {"items": pages[at], "next": str(at + 1) if at < 2 else None, "total": 250}

    server = HostileServer({"/v1/payments": payments, "/v1": lambda _: {}})
    yield server
    server.close()


def api_contract(agency, api):
    agency.source("api", f"{api.url}/v1", auth="bearer")
    return agency.contract(
        "payments", FIELDS, table="payments?year=2026", source="api", key=("id",), records="items",
        paging="cursor", next="next", pageParameter="after", total="total",
    )  # fmt: skip


def test_a_secret_goes_to_no_address_but_its_own_sources(agency, api, monkeypatch):
    monkeypatch.setenv("ZHIXIN_SOURCES_API_SECRET", SECRET)
    agency.source("api", "https://api.example/v1", auth="bearer")
    asked = (
        "payments?year=2026",
        "--source",
        "api",
        "--option",
        "auth=bearer",
        "--dataset",
        "a.b/c",
    )
    elsewhere = agency.zhixin("source", "infer", f"{api.url}/v1", *asked)
    assert (elsewhere.code, api.asked) == (2, []), elsewhere.err
    agency.source("api", f"{api.url}/v1", auth="bearer")
    agency.zhixin("source", "infer", f"{api.url}/v1", *asked)
    assert api.asked


def test_fc_23_a_source_over_http_is_used_as_any_other_and_its_secret_shows_nowhere(
    agency, api, monkeypatch, caplog, tmp_path
):
    caplog.set_level(logging.DEBUG)
    contract = api_contract(agency, api)
    monkeypatch.setenv("ZHIXIN_SOURCES_API_SECRET", "not the right one")
    refused = agency.run(contract)
    assert refused.code == 2
    assert "source api, payments?year=2026: the login was refused (status 401)" in refused.err
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    monkeypatch.setenv("ZHIXIN_SOURCES_API_SECRET_FILE", str(token))
    api.asked.clear()
    checked = agency.zhixin("source", "check", "api", "--json")
    assert checked.code == 0, checked.err
    listed = agency.zhixin("source", "tables", "api")
    assert listed.code == 0, listed.err
    ran = agency.run(contract)
    assert ran.code == 0, ran.err
    assert (ran.json["records"], ran.json["quarantined"]) == (250, 0)
    assert len(agency.rows("payments")) == 250
    shown = agency.zhixin("doctor")
    said = [refused, checked, listed, ran, shown]
    assert not [each for each in said if SECRET in each.out + each.err]
    assert SECRET not in caplog.text
    held = [path for path in agency.home.rglob("*") if path.is_file()]
    assert held
    assert not [path for path in held if SECRET.encode() in path.read_bytes()]


def test_fc_23_a_record_that_moves_between_pages_comes_twice_and_its_key_tells(agency):
    def payments(request):
        page = int(request.query["page"])  # between the pages a record is put in front of all
        shown = [{"id": n, "amount": 1} for n in (range(6) if page == 1 else range(-1, 5))]
        return {"items": shown[:3] if page == 1 else shown[3:6] if page == 2 else []}

    server = HostileServer({"/payments": payments})
    try:
        agency.source("api", server.url)
        contract = agency.contract(
            "payments", {"id": "integer", "amount": "integer"}, table="payments", source="api",
            key=("id",), records="items", paging="page",
        )  # fmt: skip
        ran = agency.run(contract)
        assert (ran.json["records"], ran.json["quarantined"]) == (4, 2)
        assert {reject[2:] for reject in agency.rejects("payments")} == {("primary-key", "2")}
    finally:
        server.close()


def test_fc_23_a_schedulers_secret_is_not_in_what_its_tasks_hand_on(agency, api):
    from zhixin_gateway.airflow import steps
    from zhixin_gateway.home import Home

    contract = api_contract(agency, api)
    options = {"auth": "bearer", SECRET_OPTION: Secret(SECRET)}
    given = {"api": (f"{api.url}/v1", options)}
    told = steps.extract_and_validate(str(agency.home), str(contract), "run", given)
    assert told["records"] == 250
    assert SECRET not in json.dumps(told)
    home = Home.open(agency.home, options={"api": options})
    source = home.open_source("api")
    assert SECRET not in f"{home!r} {options!r} {source!r} {vars(source)!r}"


def test_fc_23_a_contract_is_inferred_from_the_first_pages(agency, api, monkeypatch):
    monkeypatch.setenv("ZHIXIN_SOURCES_API_SECRET", SECRET)
    agency.source("api", f"{api.url}/v1", auth="bearer", records="items", paging="cursor",
                  next="next", pageParameter="after")  # fmt: skip
    said = agency.zhixin("source", "infer", "api", "payments")
    assert said.code == 0, said.err
    assert "name: id" in said.out
    assert "zhixin.records" in said.out
    assert SECRET not in said.out + said.err
    assert "127.0.0.1" not in said.out


def test_fc_23_what_zhixin_toml_may_not_say_is_refused_at_once(agency):
    for key, value, said in (
        ("secret", SECRET, "a secret has no place in zhixin.toml"),
        ("passwort", SECRET, "unknown source option zhixin.passwort"),
        ("auth", "magic", "auth must be one of"),
    ):
        agency.source("api", "https://api.example/v1", **{key: value})
        refused = agency.zhixin("status")
        assert refused.code == 2
        assert said in refused.err
        assert SECRET not in refused.err
