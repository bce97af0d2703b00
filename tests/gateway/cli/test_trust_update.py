"""``zhixin trust update`` and ``chain``: a pinned trust moves only where a quorum led."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from zhixin_gateway import proposing
from zhixin_gateway.proposing import Rotation

VECTORS = Path(__file__).parents[2] / "governance-vectors"


@pytest.fixture
def moved(zhixin, council, tmp_path):
    """Four founders pinned a trust; then a fifth joined and two rotated their keys."""
    pinned = tmp_path / "pinned"
    shutil.copytree(council.path("a") / "trust", pinned)
    told = zhixin("trust", "show", pinned, "--json").json
    made = zhixin(
        "init", "e.gov.example", "--join", council.path("a"), "--trust", pinned,
        "--fingerprint", told["fingerprint"], home=council.path("e"),
    )  # fmt: skip
    assert made.code == 0, made.err
    joining = proposing.propose_join(council.home("e"), council.state("e"))
    council.enact(council.agree(joining, "a", "b", "c"), "e")
    for letter, rotation in (
        ("a", Rotation(statement=True)),
        ("b", Rotation(cosigner="ml-dsa-44")),
    ):
        proposal = proposing.propose_rotation(council.home(letter), council.state(letter), rotation)
        council.enact(council.agree(proposal, *"abcde".replace(letter, "")), letter)
    council.state("d")
    return pinned


EXPECTED = [
    {"what": "rotated", "member": "a.gov.example", "key": "statement"},
    {"what": "rotated", "member": "b.gov.example", "key": "cosigner"},
    {"what": "joined", "member": "e.gov.example"},
    {"what": "quorum", "before": 3, "after": 4},
]


def test_a_trust_of_four_follows_to_five_with_two_rotated_keys_offline(
    zhixin, council, moved, tmp_path
):
    chain = tmp_path / "governance.json"
    written = zhixin("trust", "chain", chain, "--json", home=council.path("d"))
    assert written.code == 0, written.err
    assert (written.json["decisions"], written.json["size"]) == (4, 8)
    shutil.move(council.folder, tmp_path / "out-of-reach")
    before = (moved / "members.json").read_bytes()
    dry = zhixin("trust", "update", chain, "--trust", moved, "--dry-run", "--json")
    assert (dry.json["changes"], dry.json["written"]) == (EXPECTED, False)
    assert (moved / "members.json").read_bytes() == before
    done = zhixin("trust", "update", chain, "--trust", moved)
    assert done.code == 0, done.err
    assert "e.gov.example joined" in done.err
    assert "a.gov.example has another statement key" in done.err
    assert "the quorum was 3, and is 4" in done.err
    shown = zhixin("trust", "show", moved, "--json").json
    assert (len(shown["members"]), shown["size"], shown["quorum"]) == (5, 8, 4)
    assert f"fingerprint {shown['fingerprint']}" in done.err
    assert "witness e.gov.example" in (moved / "policy.txt").read_text()
    again = zhixin("trust", "update", chain, "--trust", moved, "--json")
    assert (again.code, again.json["changes"], again.json["written"]) == (0, [], False)


def test_a_chain_has_what_was_decided_while_its_maker_looked_away(zhixin, council, tmp_path):
    chain, own = tmp_path / "governance.json", council.path("c")
    assert zhixin("trust", "chain", chain, "--json", home=own).json["decisions"] == 1
    proposal = proposing.propose_rotation(
        council.home("b"), council.state("b"), Rotation(cosigner="ml-dsa-44")
    )
    council.enact(council.agree(proposal, *"ad"), "b")
    chain.unlink()
    assert zhixin("trust", "chain", chain, "--json", home=own).json["decisions"] == 2
    (council.path("a") / "log").rename(tmp_path / "away")
    away = zhixin("trust", "export", tmp_path / "exported", home=own)
    assert (away.code, "its own copy is used" in away.err) == (0, True), away.err
    assert zhixin("trust", "chain", chain, "--json", home=own).json["decisions"] == 2


def test_every_source_leads_to_the_same_trust(zhixin, council, moved, tmp_path):
    exported = zhixin("trust", "export", tmp_path / "x", "--json", home=council.path("d")).json
    sources = (council.path("d"), council.path("d") / "ledger", council.path("a") / "log")
    for number, source in enumerate(sources):
        trust = tmp_path / f"t{number}"
        shutil.copytree(moved, trust)
        answer = zhixin("trust", "update", source, "--trust", trust, "--json")
        assert answer.code == 0, answer.err
        assert (answer.json["changes"], answer.json["fingerprint"]) == (
            EXPECTED, exported["fingerprint"],
        )  # fmt: skip
    own = zhixin("trust", "update", "--json", home=council.path("d"))
    assert (own.code, own.json["changes"]) == (0, EXPECTED)


def test_a_trust_follows_over_http(zhixin, council, moved):
    from fastapi import FastAPI
    from zhixin_ledger.http.serving import running
    from zhixin_ledger.http.tile_routes import tile_routes

    app = FastAPI()
    app.include_router(tile_routes(council.path("d") / "ledger"))
    with running(app) as url:
        answer = zhixin("trust", "update", url, "--trust", moved, "--json")
    assert (answer.code, answer.json["changes"]) == (0, EXPECTED)


REFUSED = ("quorum-one-short", "stale", "forked-head", "previous-gap", "unknown-signer-left",
           "head-missing", "quorum-cosigners", "log-signature", "malformed-type")  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_chain_that_does_not_lead_forward_moves_nothing(zhixin, tmp_path, name):
    case = json.loads((VECTORS / f"{name}.json").read_text())
    trust, chain = tmp_path / "trust", tmp_path / "chain.json"
    trust.mkdir()
    (trust / "members.json").write_bytes(base64.b64decode(case["trust"]))
    chain.write_bytes(base64.b64decode(case["chain"]))
    answer = zhixin("trust", "update", chain, "--trust", trust)
    assert (answer.code, f"({case['code']})" in answer.err) == (1, True), answer.err
    assert (trust / "members.json").read_bytes() == base64.b64decode(case["trust"])
    assert [path.name for path in trust.iterdir()] == ["members.json"]


def test_an_older_disk_and_another_ledger_lead_nowhere(zhixin, council, moved, tmp_path):
    old = tmp_path / "old-disk"
    shutil.copytree(council.path("c") / "ledger", old)
    assert zhixin("trust", "update", council.path("d"), "--trust", moved).code == 0
    zhixin("member", "witness", "e.gov.example", "file:../e.gov.example", home=council.path("a"))
    proposal = proposing.propose_quorum(council.home("a"), council.state("a"), 5)
    council.enact(council.agree(proposal, *"bcd"), "a")
    zhixin("trust", "update", council.path("a"), "--trust", moved)
    stale = zhixin("trust", "update", old, "--trust", moved)
    assert (stale.code, "(stale)" in stale.err) == (1, True)
    origin = ("--origin", "ledger.gov.example/council")
    assert zhixin("init", "a.gov.example", *origin, home=tmp_path / "fork").code == 0
    forked = zhixin("trust", "update", tmp_path / "fork", "--trust", council.path("c") / "trust")
    assert (forked.code, "(forked)" in forked.err) == (1, True)
    assert zhixin("init", "other.gov.example", home=tmp_path / "other").code == 0
    other = zhixin("trust", "update", tmp_path / "other", "--trust", moved)
    assert (other.code, "(other-origin)" in other.err) == (1, True)


def test_a_damaged_disk_is_refused_with_the_entry(zhixin, council, moved, tmp_path):
    disk = tmp_path / "disk"
    shutil.copytree(council.path("d") / "ledger", disk)
    bundle = max((disk / "tile" / "entries").rglob("*.p/*"), key=lambda path: int(path.name))
    data = bytearray(bundle.read_bytes())
    data[-40] ^= 1
    bundle.write_bytes(data)
    answer = zhixin("trust", "update", disk, "--trust", moved, "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == "tile"


def test_what_is_not_there_is_a_fault_of_usage(zhixin, council, moved, tmp_path):
    for source in (tmp_path / "nothing", tmp_path):
        answer = zhixin("trust", "update", source, "--trust", moved)
        assert (answer.code, "(config)" in answer.err) == (2, True)
    beyond = zhixin("trust", "chain", tmp_path / "c.json", "--from", 99, home=council.path("d"))
    assert (beyond.code, "no trust of 99 can follow" in beyond.err) == (2, True)
    assert not (tmp_path / "c.json").exists()
    nobody = zhixin("trust", "update", "--trust", moved)
    assert nobody.code == 2
