"""Decisions that are well signed, and in one thing not in form, are refused."""

import json

import pytest
from zhixin_gateway.evidence import verify
from zhixin_ledger import dsse, encoding


def payload_of(entry):
    return json.loads(verify.unb64(json.loads(entry)["payload"], "payload"))


def signed(ledger, payload, *more):
    digest = encoding.sha256_hex(encoding.jcs(payload["predicate"]))
    payload["subject"][0]["digest"]["sha256"] = digest
    return dsse.sign_envelope(encoding.jcs(payload), [*ledger.signers.values(), *more])


def refused(index, entry, *before):
    governance = verify.Governance()
    for at, decision in before:
        governance.apply(at, decision)
    with pytest.raises(verify.Refused) as caught:
        governance.apply(index, entry)
    return caught.value.code


def test_a_genesis_is_refused_under_another_name(ledger):
    payload = payload_of(ledger.entries[0])
    assert refused(1, signed(ledger, payload), (0, ledger.entries[0])) == "genesis-place"
    payload["subject"][0]["name"] = "ledger.example/other"
    assert refused(0, signed(ledger, payload)) == "malformed"


def test_a_genesis_that_names_a_member_twice_is_refused(ledger):
    payload, new = payload_of(ledger.entries[0]), ledger.new()
    again = {**payload["predicate"]["members"][1], "cosigner": None}
    again["statement_key"] = encoding.b64(new.public_key)
    payload["predicate"]["members"].append(again)
    assert refused(0, signed(ledger, payload, new)) == "member-twice"


@pytest.mark.parametrize("key", ["cosigner", "log", "validator"])
def test_an_empty_key_is_no_key_and_no_null(ledger, key):
    payload = payload_of(ledger.entries[0])
    payload["predicate"]["members"][3][key] = ""
    assert refused(0, signed(ledger, payload)) == "malformed"


@pytest.mark.parametrize("change", ["name", "action", "kind", "surplus", "digest"])
def test_a_rotation_is_refused_with_one_thing_changed(ledger, change):
    ledger.rotate("faa.gov.example")
    index = ledger.state.ledger.entry
    payload, before = payload_of(ledger.entries[index]), (0, ledger.entries[0])
    if change == "name":
        payload["subject"][0]["name"] = "noaa.gov.example"
    elif change == "action":
        payload["predicate"]["action"] = "replace"
    elif change == "kind":
        payload["predicateType"] = "urn:zhixin:vote:v1"
    elif change == "surplus":
        payload["predicate"]["note"] = ""
    entry = signed(ledger, payload)
    if change == "digest":
        payload["subject"][0]["digest"]["sha256"] = "00" * 32
        entry = dsse.sign_envelope(encoding.jcs(payload), ledger.signers.values())
    assert refused(index, entry, before) == "malformed"


def test_a_rules_statement_is_about_its_own_ledger(ledger):
    predicate = {"origin": "ledger.example/test", "rules": "1", "quorum": "4", "previous": "0"}
    payload = payload_of(ledger.entries[0])
    payload |= {"predicate": predicate, "predicateType": "urn:zhixin:rules:v1"}
    good, governance = signed(ledger, payload), verify.Governance()
    governance.apply(0, ledger.entries[0])
    governance.apply(2, good)
    assert governance.quorums == [(0, 3), (2, 4)]
    payload["subject"][0]["name"] = "bts.gov.example"
    assert refused(2, signed(ledger, payload), (0, ledger.entries[0])) == "malformed"


@pytest.mark.parametrize("first", [True, False])
def test_a_failing_line_of_the_log_refuses_the_note_wherever_it_stands(made, first):
    _, files = made
    trust = verify.check_chain(verify.parse_chain(files["governance.json"], "chain"), "chain")
    text = files["receipt.tlog-proof"].decode()
    receipt = verify.parse_receipt(text.encode(), "receipt")
    good = next(line for line in text.splitlines(keepends=True) if line.startswith("— ledger"))
    name, key_id, signature = receipt.lines[0]
    bad = f"— {name} {verify.b64(key_id + signature[:-1] + bytes([signature[-1] ^ 1]))}\n"
    both = text.replace(good, bad + good if first else good + bad)
    verify.check_log(receipt, trust, "receipt")
    with pytest.raises(verify.Refused) as caught:
        verify.check_log(verify.parse_receipt(both.encode(), "receipt"), trust, "receipt")
    assert caught.value.code == "log-signature"
