"""``zhixin member`` and ``init --join``: changes of members by files and by the ledger's box."""

import json

import pytest
from fastapi import FastAPI
from zhixin_gateway.cli import member as member_module
from zhixin_ledger.http.serving import running
from zhixin_ledger.http.tile_routes import tile_routes


def fingerprint_of(zhixin, trust):
    return zhixin("trust", "show", trust, "--json").json["fingerprint"]


def newcomer(zhixin, council, letter="e", *options):
    trust = council.path("a") / "trust"
    return zhixin(
        "init", f"{letter}.gov.example", "--join", council.path("a"), "--trust", trust,
        "--fingerprint", fingerprint_of(zhixin, trust), "--title", "Office of E", *options,
        home=council.path(letter),
    )  # fmt: skip


def sign(zhixin, council, letters, *target):
    for letter in letters:
        answer = zhixin("member", "sign", *target, "--yes", home=council.path(letter))
        assert answer.code == 0, answer.err
    return answer


def test_a_new_member_joins_by_files(zhixin, council, tmp_path):
    made = newcomer(zhixin, council)
    assert made.code == 0, made.err
    assert "has replayed all of it" in made.err
    assert "member propose join" in made.err
    home = council.path("e")
    proposed = zhixin("member", "propose", "join", home=home)
    assert (proposed.code, proposed.out) == (0, "")
    assert "e.gov.example (Office of E / Office of E) JOINS" in proposed.err
    assert "the quorum was 3 of 4 members that cosign, and is 4 of 5 then" in proposed.err
    file = tmp_path / "join-e.gov.example.json"
    again = zhixin("member", "propose", "join", home=home)
    assert (again.code, "is there already" in again.err) == (2, True)
    early = zhixin("member", "submit", file, home=home)
    assert (early.code, "quorum" in early.err) == (1, True)
    (tmp_path / "copy.json").write_bytes(file.read_bytes())
    sign(zhixin, council, "ab", file)
    told = sign(zhixin, council, "c", tmp_path / "copy.json")
    assert "signed: 1 of 3 votes that are due" in told.err
    assert "next" not in told.err.splitlines()[-1]
    shown = zhixin("member", "show", file, tmp_path / "copy.json", "--json", home=home)
    assert shown.json["votes"] == ["a.gov.example", "b.gov.example", "c.gov.example"]
    assert shown.json["ready"] is True
    words = zhixin("member", "show", file, home=home)
    assert "signed by a.gov.example, b.gov.example: 2 of 3 votes that are due" in words.out
    done = zhixin("member", "submit", file, tmp_path / "copy.json", "--json", home=home)
    assert (done.code, done.json) == (0, {"index": 2, "pending": False, "exchanged": []})
    again = zhixin("member", "submit", file, home=council.path("d"))
    assert (again.code, "entry 2: it holds" in again.err) == (0, True)
    assert "zhixin member witness e.gov.example URL" in again.err
    listed = zhixin("member", "list", "--json", home=council.path("d")).json
    assert [(each["name"], each["votes"]) for each in listed["members"]][-1] == (
        "e.gov.example", True,
    )  # fmt: skip
    assert (listed["quorum"], listed["members"][-1]["witness"]) == (4, None)
    zhixin("member", "witness", "e.gov.example", "file:../e.gov.example", home=council.path("d"))
    told = zhixin("member", "list", home=council.path("d"))
    assert "URL" not in told.err
    assert "file:../e.gov.example" in told.out.splitlines()[-1]
    assert zhixin("member", "witness", "e.gov.example", "--json", home=council.path("d")).json == {
        "member": "e.gov.example", "url": None,
    }  # fmt: skip
    assert "URL" in zhixin("member", "list", home=council.path("d")).err


def test_only_an_address_is_set_and_only_what_is_missed_is_told(zhixin, council):
    d = council.path("d")
    before = (d / "zhixin.toml").read_bytes()
    for wrong in ("127.0.0.1:8702", "ftp://w.gov.example", "../b.gov.example"):
        refused = zhixin("member", "witness", "b.gov.example", wrong, home=d)
        assert (refused.code, f"{wrong} can't be reached: want" in refused.err) == (2, True)
    assert (d / "zhixin.toml").read_bytes() == before
    for name in "abcd":
        zhixin("member", "witness", f"{name}.gov.example", home=d)
    told = zhixin("member", "list", home=d).err.splitlines()[-1]
    assert "the witnesses of a.gov.example, b.gov.example, c.gov.example answer" in told
    for name in "abc":
        zhixin("member", "witness", f"{name}.gov.example", "https://w.gov.example", home=d)
    assert "URL" not in zhixin("member", "list", home=d).err, (
        "its own is nobody's matter but the log's"
    )
    a = council.path("a")
    zhixin("member", "witness", "a.gov.example", home=a)
    assert "where the witness of a.gov.example answers" in zhixin("member", "list", home=a).err


def test_a_file_that_is_no_proposal_is_named_and_who_signs_last_is_told_what_is_next(
    zhixin, council, tmp_path
):
    (tmp_path / "table.csv").write_text("id,holder")
    refused = zhixin("member", "show", tmp_path / "table.csv", home=council.path("a"))
    assert (refused.code, "table.csv is not JSON" in refused.err) == (1, True)
    file = tmp_path / "rotate.json"
    zhixin("member", "propose", "rotate", "--title", "D", "--out", file, home=council.path("d"))
    told = sign(zhixin, council, "ab", file)
    assert told.err.splitlines()[-1] == f"next, by anyone: zhixin member submit {file}"


def test_a_rotation_goes_by_the_ledgers_box(zhixin, council):
    b = council.path("b")
    proposed = zhixin(
        "member", "propose", "rotate", "--statement-key", "--cosigner-key", "ml-dsa-44",
        "--via-ledger", "--json", home=b,
    )  # fmt: skip
    assert proposed.code == 0, proposed.err
    assert proposed.json["file"] is None
    digest = proposed.json["digest"]
    listed = zhixin("member", "list", "--via-ledger", home=council.path("c"))
    assert f"waits: {digest[:16]} rotate b.gov.example (1 of 3 votes)" in listed.err
    shown = zhixin("member", "show", "--via-ledger", digest[:8], home=council.path("c"))
    assert "(Ed25519) → " in shown.out
    assert "(ML-DSA-44)" in shown.out
    sign(zhixin, council, "ac", "--via-ledger", digest[:8])
    waiting = zhixin("member", "list", "--via-ledger", "--json", home=b).json["proposals"]
    assert [(each["digest"], each["ready"]) for each in waiting] == [(digest, True)]
    done = zhixin("member", "submit", "--via-ledger", digest, home=b)
    assert done.code == 0, done.err
    assert "the statement key of this home was exchanged; the old one is destroyed" in done.err
    gone = zhixin("member", "show", "--via-ledger", digest, home=b)
    assert (gone.code, "no proposals that wait" in gone.err) == (2, True)
    assert sorted(path.name for path in (b / "keys").iterdir()) == ["cosigner.pem", "statement.pem"]


def test_quorum_leave_and_titles_are_proposed_as_well(zhixin, council, tmp_path):
    a = council.path("a")
    for arguments, words in (
        (("quorum", "4", "--out", tmp_path / "q.json"), "and is 4 of 4 then"),
        (("leave", "d.gov.example", "--out", tmp_path / "l.json"), "LEAVES"),
        (("rotate", "--title", "City A", "--title-zh", "甲", "--out", tmp_path / "r.json"), "甲"),
    ):
        answer = zhixin("member", "propose", *arguments, home=a)
        assert (answer.code, words in answer.err) == (0, True), answer.err
    doctor = zhixin("doctor", home=a)
    assert "waits for its rotation" not in doctor.out + doctor.err
    zhixin("member", "propose", "rotate", "--log-key", "--out", "k.json", home=a)
    doctor = zhixin("doctor", home=a)
    assert "a new log key waits for its rotation" in doctor.out + doctor.err
    nothing = zhixin("member", "propose", "rotate", home=a)
    assert (nothing.code, "--statement-key" in nothing.err) == (2, True)
    unknown = zhixin("member", "propose", "leave", "z.gov.example", home=a)
    assert (unknown.code, "no active member" in unknown.err) == (2, True)
    low = zhixin("member", "propose", "quorum", "1", home=a)
    assert (low.code, "quorum-rule" in low.err) == (1, True)
    assert "a quorum of 1 does not fit 4 members that cosign: 3 to 4 do" in low.err


def test_nobody_signs_unasked(zhixin, council, tmp_path, monkeypatch):
    zhixin("member", "propose", "quorum", "4", "--out", "q.json", home=council.path("a"))
    file = tmp_path / "q.json"
    before = file.read_bytes()
    alone = zhixin("member", "sign", file, home=council.path("b"))
    assert (alone.code, "(unasked)" in alone.err, "--yes" in alone.err) == (2, True, True)
    assert file.read_bytes() == before
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(member_module.click, "confirm", lambda text, **_: asked.append(text))
    answer = zhixin("member", "sign", file, home=council.path("b"))
    assert (answer.code, asked) == (0, ["sign this as b.gov.example?"])
    assert file.read_bytes() != before


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "malformed"), (b"{}", "malformed"), (b"x" * 300_000, "malformed"), (None, "config")],
)
def test_a_file_that_is_no_proposal_is_refused(zhixin, council, tmp_path, data, code):
    file = tmp_path / "p.json"
    if data is not None:
        file.write_bytes(data)
    for command in (("show",), ("sign", "--yes"), ("submit",)):
        answer = zhixin("member", *command, file, home=council.path("b"))
        assert answer.code == (2 if data is None else 1)
        assert f"({code})" in answer.err


def test_a_decision_without_its_quorum_of_witnesses_is_pending_and_finished_later(
    zhixin, council, tmp_path
):
    zhixin("member", "propose", "quorum", "4", "--out", "q.json", home=council.path("a"))
    sign(zhixin, council, "bc", "q.json")
    away = council.path("d").rename(tmp_path / "away")
    answer = zhixin("member", "submit", "q.json", "--json", "--timeout", 1, home=council.path("a"))
    assert (answer.code, answer.json) == (3, {"index": 2, "pending": True, "code": "quorum"})
    assert "entry 2 is in the ledger, its proof is pending: 3 of 4" in answer.err
    away.rename(council.path("d"))
    done = zhixin("member", "submit", "q.json", home=council.path("b"))
    assert done.code == 0, done.err


def test_a_home_joins_by_url(zhixin, council, tmp_path):
    app = FastAPI()
    app.include_router(tile_routes(council.path("a") / "log"))
    trust = council.path("a") / "trust"
    with running(app) as url:
        made = zhixin(
            "init", "e.gov.example", "--join", f"{url}/", "--trust", trust,
            "--fingerprint", fingerprint_of(zhixin, trust), "--witness",
            "a.gov.example=http://127.0.0.1:9", home=tmp_path / "e",
        )  # fmt: skip
        assert made.code == 0, made.err
        settings = (tmp_path / "e" / "zhixin.toml").read_text()
        assert f'url = "{url}"' in settings
        assert 'url = "http://127.0.0.1:9"' in settings
    offline = zhixin("member", "propose", "join", "--out", "j.json", home=tmp_path / "e")
    assert offline.code == 0, offline.err
    assert "its own copy is used" in offline.err


def test_titles_of_strangers_do_no_harm_to_a_terminal(zhixin, council):
    answer = zhixin(
        "member",
        "propose",
        "rotate",
        "--title",
        "A\x1b[2J\nsigned by everyone",
        home=council.path("a"),
    )
    assert answer.code == 0
    assert "\x1b" not in answer.err
    assert "A\\x1b[2J\\nsigned by everyone" in answer.err


def test_joining_wants_the_right_trust(zhixin, council, tmp_path):
    trust = council.path("a") / "trust"
    home = tmp_path / "e"
    assert zhixin("init", "e.gov.example", "--join", council.path("a"), home=home).code == 2
    assert zhixin("init", "e.gov.example", "--trust", trust, home=home).code == 2
    wrong = zhixin(
        "init", "e.gov.example", "--join", council.path("a"), "--trust", trust,
        "--fingerprint", "aaaa-bbbb", home=home,
    )  # fmt: skip
    assert (wrong.code, "fingerprint" in wrong.err) == (2, True)
    assert not home.exists()
    print_ = fingerprint_of(zhixin, trust)
    nowhere = zhixin(
        "init", "e.gov.example", "--join", tmp_path, "--trust", trust, "--fingerprint", print_,
        home=home,
    )  # fmt: skip
    assert (nowhere.code, "neither a URL nor the home" in nowhere.err) == (2, True)
    bad = zhixin(
        "init", "e.gov.example", "--join", council.path("a"), "--trust", trust,
        "--fingerprint", print_, "--witness", "x", home=home,
    )  # fmt: skip
    assert (bad.code, "NAME=URL" in bad.err) == (2, True)
    good = newcomer(zhixin, council, "e", "--json")
    assert good.json["origin"] == "ledger.gov.example/council"
    assert newcomer(zhixin, council).code == 0  # again, as after an interruption
    taken = zhixin(
        "init", "e.gov.example", "--join", council.path("a"), "--trust", trust,
        "--fingerprint", print_, home=council.path("b"),
    )  # fmt: skip
    assert (taken.code, "a home already" in taken.err) == (2, True)


def test_joining_another_ledger_than_the_trusts_leaves_no_copy(zhixin, council, tmp_path):
    trust = council.path("a") / "trust"
    print_ = fingerprint_of(zhixin, trust)
    for origin, code in (
        ("another.example/1", "other-origin"),
        ("ledger.gov.example/council", "forked"),
    ):
        other, home = tmp_path / f"other-{code}", tmp_path / f"e-{code}"
        assert zhixin("init", "other.gov.example", "--origin", origin, home=other).code == 0
        answer = zhixin(
            "init", "e.gov.example", "--join", other, "--trust", trust, "--fingerprint", print_,
            home=home,
        )  # fmt: skip
        assert (answer.code, f"({code})" in answer.err) == (1, True)
        assert not list((home / "ledger").iterdir())


def test_a_ledger_after_a_lost_quorum_names_the_old_ones_last_checkpoint(zhixin, council, tmp_path):
    told = zhixin("trust", "show", council.path("a") / "trust", "--json").json
    origin = f"ledger.gov.example/2027/after/{told['size']}/{told['root']}"
    made = zhixin("init", "a.gov.example", "--origin", origin, "--json", home=tmp_path / "new")
    assert (made.code, made.json["origin"]) == (0, origin)
    joining = zhixin(
        "init", "b.gov.example", "--join", tmp_path / "new", "--trust", tmp_path / "new" / "trust",
        "--fingerprint", made.json["fingerprint"], home=tmp_path / "b",
    )  # fmt: skip
    assert joining.code == 0
    assert zhixin("member", "propose", "join", "--out", "j.json", home=tmp_path / "b").code == 0
    assert zhixin("member", "sign", "j.json", "--yes", home=tmp_path / "new").code == 0
    done = zhixin("member", "submit", "j.json", home=tmp_path / "b")
    assert done.code == 0, done.err


def test_a_member_that_left_publishes_no_more_and_its_versions_stay_good(zhixin, council, tmp_path):
    d = council.path("d")
    (tmp_path / "things.csv").write_text("id,name\n1,x\n2,y\n")
    contract = d / "contracts" / "things.odcs.yaml"
    inferred = zhixin("source", "infer", "things.csv", "things.csv", home=d)
    contract.write_text(inferred.out)
    assert zhixin("run", contract, home=d).code == 0
    old_trust = tmp_path / "old-trust"
    assert zhixin("trust", "export", old_trust, home=council.path("a")).code == 0
    zhixin("member", "propose", "leave", "--out", "leave.json", home=d)
    sign(zhixin, council, "ab", tmp_path / "leave.json")
    assert zhixin("member", "submit", tmp_path / "leave.json", home=council.path("a")).code == 0
    (tmp_path / "things.csv").write_text("id,name\n1,x\n2,y\n3,z\n")
    late = zhixin("run", contract, home=d)
    assert (late.code, "unknown-signer" in late.err) == (1, True)
    version = d / "store" / "d.gov.example" / "things" / "1"
    new_trust = tmp_path / "new-trust"
    assert zhixin("trust", "export", new_trust, home=council.path("a")).code == 0
    for trust in (old_trust, new_trust):
        answer = zhixin("verify", version, "--trust", trust, "--json")
        assert (answer.code, json.loads(answer.out)["ok"]) == (0, True)
