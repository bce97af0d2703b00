"""Proposals over HTTP: what is taken in, kept, given out and thrown away."""

import json
from contextlib import closing

import httpx
import pytest
from zhixin_errors import LedgerRefused, LedgerUnavailable
from zhixin_ledger import dsse, proposal_box
from zhixin_ledger.checkpoint import verify_log
from zhixin_ledger.embedded import DATABASE, Engine
from zhixin_ledger.http.client import HttpProposals
from zhixin_ledger.http.log_app import LogService, make_log_app
from zhixin_ledger.http.serving import running
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.proposal_box import log_box, open_box
from zhixin_ledger.proposals import parse_proposal, signature_of
from zhixin_ledger.signers import MemorySigner, generate_signer, load_signer
from zhixin_ledger.statements import member_object, member_statement, rules_statement
from zhixin_ledger.tiles import DirectorySource
from zhixin_ledger.tlogproof import parse_receipt
from zhixin_ledger.transport import FileWitness, Means, load_keys

TIMEOUT_S = 20


def quorum_proposal(world, *names, quorum=4):
    return parse_proposal(world.signed(rules_statement(world.origin, quorum, 0), *names))


def join_proposal(world, number=0):
    key, cosigner = (MemorySigner(bytes([kind, number]) * 16) for kind in (1, 2))
    name = f"e{number}.gov.example"
    member = member_object(
        name,
        (name, ""),
        statement_key=key.public_key,
        cosigner=VerifierKey.make(f"{name}/witness", COSIGNATURE_V1, cosigner.public_key),
    )
    payload = member_statement(world.origin, "join", member, 4, 0)
    return parse_proposal(dsse.sign_envelope(payload, [key]))


@pytest.fixture
def served(serve_log):
    return serve_log()


@pytest.fixture
def box(served):
    box = HttpProposals(served.url)
    yield box
    box.close()


def post(url, content):
    return httpx.post(url, content=content, timeout=TIMEOUT_S)


def test_a_proposal_gathers_signatures_and_enters(world, served, box):
    a, b, c, _ = world.names
    digest = quorum_proposal(world, a).digest_hex
    assert box.offer(quorum_proposal(world, a)) is True
    assert box.offer(quorum_proposal(world, b)) is False
    assert [each.digest_hex for each in box.waiting()] == [digest]
    assert len(box.get(digest).envelope.signatures) == 2
    signed = box.sign(digest, *signature_of(box.get(digest), world.signers[c]))
    assert len(signed.envelope.signatures) == 3
    assert len(box.get(digest).envelope.signatures) == 3
    answer = post(f"{served.url}/entries?wait=receipt", signed.to_bytes())
    assert answer.status_code == 201
    assert box.waiting() == []
    assert not list((world.log_dir / "proposals").glob("*.json"))
    with pytest.raises(LedgerRefused) as refused:
        box.get(digest)
    assert refused.value.code == "not-found"


def test_answers_with_the_statuses_that_are_promised(world, served):
    a, b, *_ = world.names
    url = f"{served.url}/proposals"
    data = quorum_proposal(world, a).to_bytes()
    first, again = post(url, data), post(url, data)
    assert (first.status_code, again.status_code) == (201, 200)
    digest = first.json()["digest"]
    listed = httpx.get(url, timeout=TIMEOUT_S).json()["proposals"]
    assert listed == [{"digest": digest, "proposal": json.loads(data)}]
    one = httpx.get(f"{url}/{digest}", timeout=TIMEOUT_S)
    assert (one.status_code, one.content) == (200, data)
    keyid, signature = signature_of(quorum_proposal(world, a), world.signers[b])
    sig = dsse.b64(signature)
    signed = post(f"{url}/{digest}/signatures", json.dumps({"keyid": keyid, "sig": sig}).encode())
    assert signed.status_code == 200
    assert {each["keyid"] for each in signed.json()["signatures"]} >= {keyid}


@pytest.mark.parametrize(
    ("way", "make", "status", "code"),
    [
        ("", lambda w: b"{}", 400, "malformed"),
        ("", lambda w: b"x" * (256 * 1024 + 1), 413, "too-large"),
        ("", lambda w: w.contract(f"{w.names[0]}/x"), 400, "malformed"),
        ("", lambda w: quorum_proposal(w, w.names[0], quorum=1).to_bytes(), 422, "quorum-rule"),
        ("", lambda w: quorum_proposal(w, w.names[0], quorum=3).to_bytes(), 422, "nothing-changed"),
        ("/" + "0" * 64 + "/signatures", lambda w: b'{"keyid":"00","sig":""}', 400, "malformed"),
        (
            "/" + "0" * 64 + "/signatures",
            lambda w: json.dumps({"keyid": "0" * 64, "sig": "A" * 86 + "=="}).encode(),
            404,
            "not-found",
        ),
        ("/abc/signatures", lambda w: b"{}", 400, "malformed"),
    ],
)
def test_refuses_by_a_problem_document(world, served, way, make, status, code):
    answer = post(f"{served.url}/proposals{way}", make(world))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:zhixin:error:{code}"
    assert httpx.get(f"{served.url}/proposals", timeout=TIMEOUT_S).json() == {"proposals": []}


@pytest.mark.parametrize("digest", ["0" * 63, "0" * 65, "G" * 64, "..%2Fcheckpoint"])
def test_a_digest_that_is_none_opens_no_file(served, digest):
    answer = httpx.get(f"{served.url}/proposals/{digest}", timeout=TIMEOUT_S)
    assert answer.status_code in (400, 404)


def test_only_signatures_of_active_members_are_kept(world, box):
    a, b, c, _ = world.names
    stranger = MemorySigner(b"\7" * 32)
    payload = rules_statement(world.origin, 4, 0)
    mixed = dsse.sign_envelope(payload, [world.signers[a], stranger])
    box.offer(parse_proposal(mixed))
    digest = parse_proposal(mixed).digest_hex
    kept = box.get(digest)
    assert [keyid for keyid, _ in kept.envelope.signatures] == [
        dsse.keyid(world.signers[a].public_key)
    ]
    keyid, signature = signature_of(kept, world.signers[b])
    for key, made, code in (
        (*signature_of(kept, stranger), "unknown-signer"),
        (keyid, bytes(64), "signature"),
        (keyid, signature_of(kept, world.signers[c])[1], "signature"),
    ):
        with pytest.raises(LedgerRefused) as refused:
            box.sign(digest, key, made)
        assert refused.value.code == code
    assert box.get(digest) == kept
    with pytest.raises(LedgerRefused) as refused:
        box.offer(parse_proposal(dsse.sign_envelope(payload, [stranger])))
    assert refused.value.code == "signature"
    assert box.sign(digest, keyid, signature).envelope.signatures


def test_a_bad_signature_drives_out_no_good_one(world, box):
    a, *_ = world.names
    good = quorum_proposal(world, a)
    box.offer(good)
    ((keyid, _),) = good.envelope.signatures
    spoilt = json.loads(good.to_bytes())
    spoilt["signatures"][0]["sig"] = dsse.b64(bytes(64))
    with pytest.raises(LedgerRefused):
        box.offer(parse_proposal(json.dumps(spoilt).encode()))
    with pytest.raises(LedgerRefused):
        box.sign(good.digest_hex, keyid, bytes(64))
    assert box.get(good.digest_hex) == good


def test_what_can_enter_no_more_is_thrown_away(world, box):
    a, b, c, _ = world.names
    box.offer(quorum_proposal(world, a))
    box.offer(join_proposal(world))
    assert len(box.waiting()) == 2
    (world.log_dir / "proposals" / f"{'0' * 64}.json").write_bytes(b"not a proposal")
    assert len(box.waiting()) == 2
    assert post(f"{box._server.url}/entries", quorum_proposal(world, a, b, c).to_bytes()).is_success
    assert box.waiting() == []  # `previous` of the join is not the last decision any more


def test_strangers_have_a_small_share_of_the_box(world, box, monkeypatch):
    monkeypatch.setattr(proposal_box, "MAX_STRANGERS", 2)
    monkeypatch.setattr(proposal_box, "MAX_PROPOSALS", 1)
    for number in range(2):
        box.offer(join_proposal(world, number))
    answer = post(f"{box._server.url}/proposals", join_proposal(world, 3).to_bytes())
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
    assert "retry-after" in answer.headers
    a, b, *_ = world.names
    box.offer(quorum_proposal(world, a))  # members have their own room
    box.offer(quorum_proposal(world, b))  # and what is there takes more signatures
    answer = post(f"{box._server.url}/proposals", _titles(world, a).to_bytes())
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")


def _titles(world, name):
    with proposal_box._reading(world.log_dir / DATABASE) as state:
        fact = state.members[name]
    member = {
        "name": name,
        "titles": {"en": "other", "zh": ""},
        "statement_key": fact.statement_key,
        "cosigner": fact.cosigner,
        "log": fact.log,
        "validator": None,
    }
    payload = member_statement(world.origin, "rotate", member, 3, 0)
    return parse_proposal(world.signed(payload, name))


def test_a_running_log_signs_with_the_key_that_its_own_entry_brings_in_force(world):
    a, b, c, _ = world.names
    keys = world.home(a) / "keys"
    source, means = DirectorySource(world.log_dir), Means(world.clock)
    engine = Engine(
        world.log_dir,
        load_signer(keys / "log.pem"),
        clock=world.clock,
        hold=True,
        later=lambda: load_keys(keys / "log.pem", load_signer),
    )
    witnesses = [FileWitness(name, world.home(name), source, means) for name in world.names]
    with closing(engine), running(make_log_app(LogService(engine, witnesses))) as url:
        first = post(f"{url}/entries?wait=receipt", world.contract(f"{b}/x")).json()
        new = generate_signer(keys / "log-new.pem")  # while it runs
        with proposal_box._reading(world.log_dir / DATABASE) as state:
            fact = state.members[a]
        member = {
            "name": a,
            "titles": fact.titles.to_json(),
            "statement_key": fact.statement_key,
            "cosigner": fact.cosigner,
            "log": VerifierKey.make(world.origin, ED25519, new.public_key).text,
            "validator": None,
        }
        payload = member_statement(world.origin, "rotate", member, 3, 0)
        done = post(f"{url}/entries?wait=receipt", world.signed(payload, a, b, c))
        assert done.status_code == 201, done.text
        later = post(f"{url}/entries?wait=receipt", world.contract(f"{c}/x")).json()
    old_key, new_key = (VerifierKey.parse(text) for text in (fact.log, member["log"]))
    for answer, key in ((first, old_key), (done.json(), new_key), (later, new_key)):
        note = parse_receipt(answer["receipt"].encode()).signed
        assert verify_log(note, world.origin, [key]).origin == world.origin


def test_proposals_outlive_the_server(world, serve_log):
    a, *_ = world.names
    box = log_box(world.log_dir)
    proposal = quorum_proposal(world, a)
    box.offer(proposal)
    served = serve_log()
    over_http = open_box(served.url, world.log_dir)
    assert [each.digest_hex for each in over_http.waiting()] == [proposal.digest_hex]
    over_http.close()


def test_a_folder_without_a_ledger_has_no_box(tmp_path):
    with pytest.raises(LedgerUnavailable) as missing:
        open_box("file:nowhere", tmp_path)
    assert missing.value.code == "ledger-missing"


def test_a_server_of_another_make_is_told_so(serve_log, world):
    import http.server
    import threading

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                b'{"proposals":[{"proposal":{}}]}' if self.path.count("/") == 1 else b"x"
            )

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    box = HttpProposals(f"http://127.0.0.1:{server.server_port}")
    try:
        for ask in (box.waiting, lambda: box.get("0" * 64)):
            with pytest.raises(LedgerUnavailable):
                ask()
    finally:
        box.close()
        server.shutdown()
        thread.join()
        server.server_close()
