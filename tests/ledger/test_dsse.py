"""Envelopes: the ledger's own form, and what admission makes of other layouts."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_ledger import dsse
from zhixin_ledger.encoding import b64, jcs, sha256_hex
from zhixin_ledger.intoto import format_statement, parse_statement
from zhixin_ledger.keys import verify_ed25519
from zhixin_ledger.merkle import leaf_hash
from zhixin_ledger.signers import MemorySigner

VECTORS = Path(__file__).parents[1] / "vectors"
SIGNERS = [MemorySigner(bytes([n]) * 32) for n in range(4)]
ENTRY = dsse.sign_envelope(b'{"a":"b"}', SIGNERS)
OF_ONE = dsse.sign_envelope(b'{"a":"b"}', SIGNERS[:1])  # which a shorter way reads


def test_walks_the_vector_step_by_step():
    (case,) = json.loads((VECTORS / "dsse.json").read_text())
    signer = MemorySigner(bytes.fromhex(case["seed"]))
    payload = case["payload"].encode()
    assert b64(signer.public_key) == case["public_key"]
    assert dsse.keyid(signer.public_key) == case["keyid"]
    assert dsse.pae(dsse.PAYLOAD_TYPE, payload).hex() == case["pae"]
    assert b64(signer.sign(bytes.fromhex(case["pae"]))) == case["signature"]
    entry = dsse.sign_envelope(payload, [signer])
    assert entry.decode() == case["envelope"]
    assert sha256_hex(entry) == case["entry_sha256"]
    assert leaf_hash(entry).hex() == case["leaf_hash"]
    envelope = dsse.parse_envelope(entry)
    assert envelope.verifies(signer.public_key)
    assert format_statement(parse_statement(envelope.payload)) == payload


def test_gives_the_pae_of_the_specification():
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    "path",
    sorted((VECTORS / "versions").glob("*/*/*/statement.json")),
    ids=lambda path: "/".join(path.parts[-4:-1]),
)
def test_reads_and_writes_the_statements_of_the_vectors(path):
    entry = path.read_bytes()
    assert dsse.format_envelope(dsse.parse_envelope(entry)) == entry
    assert dsse.normalise_envelope(entry) == entry


@given(st.binary(max_size=200), st.sets(st.sampled_from(range(4)), min_size=1))
def test_envelopes_round_trip(payload, who):
    signers = [SIGNERS[number] for number in who]
    entry = dsse.sign_envelope(payload, signers)
    envelope = dsse.parse_envelope(entry)
    assert envelope.payload == payload
    assert dsse.format_envelope(envelope) == entry
    for number, signer in enumerate(SIGNERS):
        assert envelope.verifies(signer.public_key) == (number in who)


def test_verifies_by_the_key_and_not_by_its_id():
    envelope = dsse.parse_envelope(ENTRY)
    (first, _), (_, other), *_ = envelope.signatures
    swapped = dsse.Envelope(envelope.payload_type, envelope.payload, ((first, other),))
    signer = next(s for s in SIGNERS if dsse.keyid(s.public_key) == first)
    assert envelope.verifies(signer.public_key)
    assert not swapped.verifies(signer.public_key)


@given(
    st.permutations(range(4)),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 100),
)
def test_admission_frees_layout_alphabet_and_order(order, indent, urlsafe, reverse, seed):
    value = json.loads(ENTRY)
    value["signatures"] = [value["signatures"][number] for number in order]
    rnd = random.Random(seed)
    for holder, name in [(value, "payload"), *((item, "sig") for item in value["signatures"])]:
        if urlsafe and rnd.random() < 0.7:
            holder[name] = holder[name].replace("+", "-").replace("/", "_")
    if reverse:
        value = dict(reversed(value.items()))
    layout = json.dumps(value, indent=indent, ensure_ascii=rnd.random() < 0.5).encode()
    assert dsse.normalise_envelope(layout) == ENTRY
    if layout != ENTRY:
        with pytest.raises(FormatError):
            dsse.parse_envelope(layout)


@given(st.binary(max_size=60), st.integers(0, len(ENTRY)), st.integers(0, 8))
def test_raises_nothing_but_its_own_error_and_reads_one_form(patch, place, cut):
    cut_up = (entry[:place] + patch[:3] + entry[place + cut :] for entry in (ENTRY, OF_ONE))
    for data in (patch, *cut_up):
        try:
            envelope = dsse.parse_envelope(data)
        except FormatError:
            pass
        else:
            assert dsse.format_envelope(envelope) == data
        try:
            entry = dsse.normalise_envelope(data)
        except FormatError:
            continue
        assert (
            dsse.normalise_envelope(entry)
            == entry
            == dsse.format_envelope(dsse.parse_envelope(entry))
        )


def test_reads_no_byte_of_an_entry_in_another_way():
    for place in range(len(OF_ONE)):
        for byte in range(256):
            data = OF_ONE[:place] + bytes([byte]) + OF_ONE[place + 1 :]
            try:
                envelope = dsse.parse_envelope(data)
            except FormatError:
                continue
            assert dsse.format_envelope(envelope) == data


def changed(entry: bytes = ENTRY, **parts: object) -> bytes:
    return jcs({**json.loads(entry), **parts})


def with_signature(entry: bytes = ENTRY, **parts: object) -> bytes:
    first, *rest = json.loads(entry)["signatures"]
    return changed(entry, signatures=[{**first, **parts}, *rest])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed(surplus="x"), "unknown members"),
        (changed(payloadType="application/json"), "payloadType must be"),
        (changed(payloadType=None), "payloadType must be"),
        (changed(payload=None), "payload must be a JSON string"),
        (changed(payload="QQ"), "payload is not standard base64"),
        (changed(payload="QR=="), "payload is not canonical base64"),
        (changed(payload="Q Q="), "payload is not standard base64"),
        (changed(signatures=[]), "no signature"),
        (changed(signatures={}), "must be a JSON array"),
        (changed(signatures=["x"]), "signature 1 of envelope must be a JSON object"),
        (with_signature(cert="x"), "unknown members"),
        (with_signature(keyid="AB" * 32), "keyid"),
        (with_signature(keyid="ab" * 31), "keyid"),
        (with_signature(sig=b64(bytes(63))), "has 63 bytes, want 64"),
        (with_signature(sig=b64(bytes(65))), "has 65 bytes, want 64"),
        (with_signature(keyid=json.loads(ENTRY)["signatures"][1]["keyid"]), "of one key"),
        (ENTRY[:-1] + b',"payload":""}', "twice"),
        (changed(OF_ONE, payload="QR=="), "payload is not canonical base64"),
        (changed(OF_ONE, payload="QQ"), "payload is not standard base64"),
        (with_signature(OF_ONE, sig="A" * 85 + "B=="), "sig .* is not canonical base64"),
        (with_signature(OF_ONE, keyid="AB" * 32), "keyid"),
        (b"[]", "must be a JSON object"),
    ],
)
def test_both_readers_refuse(data, says):
    for read in (dsse.parse_envelope, dsse.normalise_envelope):
        with pytest.raises(FormatError, match=says):
            read(data)


@settings(max_examples=40)
@given(st.binary(max_size=60), st.sampled_from([None, 1]), st.booleans(), st.integers(0, 255))
def test_what_is_submitted_is_read_as_it_is_normalised(payload, indent, reverse, change):
    entry = dsse.sign_envelope(payload, SIGNERS[:2])
    value = json.loads(entry)
    if reverse:
        value["signatures"].reverse()
    data = bytearray(json.dumps(value, indent=indent).encode() if indent or reverse else entry)
    if change < 128:
        data[change] ^= 1

    def told(read):
        try:
            return read(bytes(data))
        except FormatError as fault:
            return fault.message

    def in_two_steps(given):
        normalised = dsse.normalise_envelope(given)
        return normalised, dsse.parse_envelope(normalised)

    assert told(dsse.read_submitted) == told(in_two_steps)


def test_only_admission_sorts_signatures():
    data = changed(signatures=json.loads(ENTRY)["signatures"][::-1])
    with pytest.raises(FormatError, match="not sorted by keyid"):
        dsse.parse_envelope(data)
    assert dsse.normalise_envelope(data) == ENTRY


def test_limits_the_length_before_and_after():
    signer = SIGNERS[:1]
    base = len(dsse.sign_envelope(b"", signer))
    room = (dsse.MAX_ENTRY_BYTES - base) // 4 * 3
    entry = dsse.sign_envelope(b"x" * room, signer)
    assert len(entry) <= dsse.MAX_ENTRY_BYTES
    with pytest.raises(FormatError, match="longer than 65535 bytes"):
        dsse.sign_envelope(b"x" * (room + 3), signer)
    padded = entry + b" " * (dsse.MAX_ADMISSION_BYTES - len(entry))
    assert dsse.normalise_envelope(padded) == entry
    with pytest.raises(FormatError, match="longer than 262144 bytes"):
        dsse.normalise_envelope(padded + b" ")
    too_long = json.dumps({**json.loads(entry), "payload": b64(b"x" * (room + 3))}).encode()
    with pytest.raises(FormatError, match="longer than 65535 bytes"):
        dsse.normalise_envelope(too_long)


def test_signs_with_each_key_once():
    with pytest.raises(FormatError, match="two signatures of one key"):
        dsse.sign_envelope(b"", [SIGNERS[0], SIGNERS[0]])
    with pytest.raises(FormatError, match="no signature"):
        dsse.sign_envelope(b"", [])


def test_signs_the_payload_with_its_type():
    envelope = dsse.parse_envelope(ENTRY)
    for key, signature in envelope.signatures:
        signer = next(s for s in SIGNERS if dsse.keyid(s.public_key) == key)
        assert verify_ed25519(signer.public_key, envelope.signed, signature)
        assert not verify_ed25519(signer.public_key, envelope.payload, signature)
    assert base64.b64decode(json.loads(ENTRY)["payload"]) == envelope.payload
