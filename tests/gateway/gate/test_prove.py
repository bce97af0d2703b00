"""Any one record can be proved to somebody who has no access to its dataset."""

import base64
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_errors import ConfigError, VerificationError
from zhixin_gateway.datasets import hashing
from zhixin_gateway.gate import prove_record, record_proof, verify_record
from zhixin_ledger import encoding

VECTORS = Path(__file__).parents[2] / "vectors"
FIRST = json.loads((VECTORS / "accept" / "record-proof-first.json").read_text())
PROOF = encoding.parse_jcs(base64.b64decode(FIRST["record_proof"]), "proof")


def publish(world, sizes):
    """A version of parts of these sizes: a text of 128 MiB would end a part, so cut by hand."""
    schema = pa.schema([("n", pa.int64()), ("text", pa.string())])
    batch = pa.RecordBatch.from_pydict(
        {"n": range(sum(sizes)), "text": [f"t{n}" for n in range(sum(sizes))]}, schema=schema
    )
    return world.publish("numbers", [batch], key=["n"])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 300])
def test_the_first_the_last_and_the_only_record_can_be_proved(count, world):
    folder, trust = publish(world, [count]), world.trust()
    for n in sorted({0, count // 2, count - 1}):
        proof = prove_record(folder, trust, where=f"n = {n}", now=world.now)
        verdict = verify_record(proof, trust, expect="bts.gov.example/numbers@1", now=world.now)
        assert verdict.ok, verdict.message
        assert verdict.values == [str(n), f"t{n}"]
        assert [field["name"] for field in verdict.fields] == ["n", "text"]
        assert verdict.records is None


def test_records_of_any_part_can_be_proved(world, monkeypatch):
    monkeypatch.setattr(hashing, "MAX_RECORDS", 3)
    folder, trust = publish(world, [8]), world.trust()
    assert len(list(folder.glob("part-*"))) == 3
    for n in range(8):
        proof = prove_record(folder, trust, where=f"n = {n}", now=world.now)
        assert verify_record(proof, trust, now=world.now).values == [str(n), f"t{n}"]


def test_makes_the_proof_of_the_vector(lay_out):
    case = lay_out({"base": "land.gov.example/flights/2"})
    proof = prove_record(case.folder, case.trust, where="id = 0", now=case.options()["now"])
    made = encoding.parse_jcs(proof, "proof")
    assert {**made, "receipt": PROOF["receipt"]} == PROOF


def test_records_of_every_type_can_be_proved(lay_out):
    case = lay_out({"base": "tax.gov.example/types/1"})
    now, dataset = case.options()["now"], case.open(unsafe_no_standing=True)
    numbers = Counter(dataset.to_arrow().column("int").to_pylist())
    single = [number for number, count in numbers.items() if number is not None and count == 1]
    assert len(single) >= 3
    for number in single:
        proof = prove_record(case.folder, case.trust, where=f"int = {number}", now=now)
        verdict = verify_record(proof, case.trust, now=now)
        assert verdict.ok, verdict.message
        assert verdict.values[dataset.schema.names.index("int")] == str(number)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("n < 0", "no record"),
        ("n < 2", "more than one"),
        ("nonsense = 1", "can't be run"),
        ("1 = 1) limit 1 --", "can't be run"),
        ("n = 1; select 2", "can't be run"),
        ("text = 3", "failed while it ran"),
        ("n = -1) union all (select -1 where true", "a condition over"),
        ("n = -1) union all (select 'x' where true", "a condition over"),
        ("n = -1) union all (select 1e30 where true", "a condition over"),
        ("n = '\udcff'", "not UTF-8"),
    ],
)
def test_a_condition_must_pick_exactly_one_record(where, said, world):
    folder = publish(world, [3])
    with pytest.raises(ConfigError) as caught:
        prove_record(folder, world.trust(), where=where, now=world.now)
    assert said in caught.value.message
    assert "t0" not in caught.value.message


def test_a_version_that_is_refused_proves_nothing(world, lay_out):
    folder = publish(world, [3])
    (folder / "contract.yaml").write_bytes(b"another")
    with pytest.raises(VerificationError) as caught:
        prove_record(folder, world.trust(), where="n = 1", now=world.now)
    assert caught.value.code == "contract"


@pytest.mark.parametrize("name", ["record-value", "record-order", "record-salt-key"])
def test_records_that_are_not_those_stated_prove_nothing(name, lay_out):
    case = lay_out(VECTORS / "negative" / f"{name}.json")
    field, table = case.open(unsafe_no_standing=True).schema.names[0], case.given["base"].split("/")
    where = f'"{field}" = (select min("{field}") from "{table[1]}")'
    with pytest.raises(VerificationError) as caught:
        prove_record(
            case.folder,
            case.trust,
            where=where,
            now=case.options()["now"],
            expect=case.given["base"].rsplit("/", 1)[0],
        )
    assert caught.value.code == "record"


def test_a_proof_answers_in_the_same_words_as_a_directory(world):
    folder = publish(world, [3])
    proof = prove_record(folder, world.trust(), where="n = 1", now=world.now)
    verdict = verify_record(proof, world.trust(), now=world.now)
    assert [check.name for check in verdict.checks] == [
        "malformed", "unexpected", "log-signature", "quorum", "statement-signature", "inclusion",
        "root", "record", "standing",
    ]  # fmt: skip
    assert verdict.to_json()["records"] is None
    assert any("--expect" in warning for warning in verdict.warnings)


def test_a_proof_is_held_to_a_standing_that_is_given(world):
    folder = publish(world, [3])
    proof = prove_record(folder, world.trust(), where="n = 1", now=world.now)
    standing = world.standing("bts.gov.example/numbers")
    verdict = verify_record(
        proof, world.trust(), now=world.now, standings=[standing], require_standing=True
    )
    assert verdict.ok, verdict.message
    assert verdict.status("standing") == "passed"
    assert verify_record(proof, world.trust(), now=world.now, require_standing=True).code == "stale"


def test_a_proof_beyond_its_limit_is_refused_unread(world, monkeypatch):
    monkeypatch.setattr(record_proof, "MAX_PROOF_BYTES", 100)
    assert verify_record(b"x" * 101, world.trust(), now=world.now).code == "malformed"


def test_a_field_may_have_any_name(world):
    batch = pa.RecordBatch.from_pydict({"zhixin_position": [7, 8]})
    folder = world.publish("odd", [batch])
    proof = prove_record(folder, world.trust(), where="zhixin_position = 8", now=world.now)
    assert verify_record(proof, world.trust(), now=world.now).values == ["8"]


def test_a_refused_proof_shows_no_record(lay_out):
    case = lay_out(VECTORS / "negative" / "record-record-proof-value.json")
    verdict = case.verify()
    assert (verdict.code, verdict.fields, verdict.values) == ("record", None, None)


# Nothing but a verdict, whatever the bytes.


values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.integers(0, 9).map(str),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "type", "list", "struct", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(member=st.sampled_from(sorted(PROOF)), value=values)
def test_any_value_in_any_member_of_a_proof_gives_a_verdict(member, value, world):
    data = encoding.jcs({**PROOF, member: value})
    verdict = verify_record(data, world.trust(), now=world.now)
    assert not verdict.ok
    assert verdict.code in {"malformed", "log-signature"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_verdict(data, world):
    assert verify_record(data, world.trust(), now=world.now).code == "malformed"


def test_every_byte_of_a_proof_is_held(lay_out):
    case = lay_out({**FIRST})
    data = base64.b64decode(FIRST["record_proof"])
    now = case.options()["now"]
    quorum = 0
    for position in range(0, len(data), 3):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        verdict = verify_record(changed, case.trust, now=now)
        if verdict.ok:
            quorum += 1
            assert verdict.values == ["0", None, "9783.33", "2026-02-03T15:38:24.261712Z"]
        else:
            assert verdict.code in {
                "malformed", "log-signature", "quorum", "statement-signature", "inclusion", "root",
                "record",
            }  # fmt: skip
