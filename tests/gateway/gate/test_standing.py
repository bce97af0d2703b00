"""Standing files: whatever is in them gives a verdict, and each claim is judged."""

import base64
import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError
from zhixin_gateway.gate.standing import parse_standing
from zhixin_ledger import encoding

VECTORS = Path(__file__).parents[2] / "vectors"
LATER = base64.b64decode(
    json.loads((VECTORS / "standing" / "good-later.json").read_text())["standing"]
)
STANDING = encoding.parse_jcs(LATER, "standing")

values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.integers(0, 300).map(str),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["fact", "dataset", "entry", "seal"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(position=st.integers(0, len(LATER) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_read_as_it_stands(position, byte):
    try:
        standing = parse_standing(LATER[:position] + bytes([byte]) + LATER[position + 1 :])
    except FormatError:
        return
    assert standing.receipt.index == standing.receipt.checkpoint.size - 1


@settings(max_examples=300)
@given(
    member=st.sampled_from(sorted(STANDING)),
    inner=st.none() | st.sampled_from(sorted(STANDING["fact"])),
    value=values,
)
def test_any_value_in_any_member_is_read_or_a_format_error(member, inner, value):
    changed = {**STANDING, member: value}
    if inner:
        changed = {**STANDING, "fact": {**STANDING["fact"], inner: value}}
    try:
        standing = parse_standing(encoding.jcs(changed))
    except FormatError:
        return
    assert standing.fact.to_json() == changed["fact"]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_format_error(data):
    with pytest.raises(FormatError):
        parse_standing(data)


def test_every_third_byte_of_a_standing_file_is_held(lay_out):
    case = lay_out(VECTORS / "standing" / "good-later.json")
    codes = {
        "malformed", "unexpected", "log-signature", "quorum", "inclusion", "forked", "stale",
    }  # fmt: skip
    for position in range(0, len(LATER), 3):
        changed = LATER[:position] + bytes([LATER[position] ^ 1]) + LATER[position + 1 :]
        verdict = case.verify(standings=[changed])
        assert verdict.code in codes, verdict.message
        assert verdict.checks[-1].name == "standing"


def test_a_standing_file_is_named_in_the_refusal(lay_out, tmp_path):
    case = lay_out({"base": "land.gov.example/flights/1"})
    path = tmp_path / "flights.standing.json"
    path.write_bytes(LATER)
    verdict = case.verify(standings=[path])
    assert verdict.ok
    path.write_bytes(LATER + b"\n")
    verdict = case.verify(standings=[path])
    assert verdict.code == "malformed"
    assert "flights.standing.json" in verdict.message


def test_freshness_is_judged_to_the_second(world):
    folder = world.publish("few", [pa.RecordBatch.from_pydict({"n": [1]})])
    standing = world.standing("bts.gov.example/few")
    late = world.now + timedelta(hours=1)
    options = {"unsafe_no_standing": False, "standings": [standing], "now": late}
    assert world.open(folder, max_age=timedelta(hours=1), **options).records == 1
    with pytest.raises(VerificationError) as caught:
        world.open(folder, max_age=timedelta(hours=1, seconds=-1), **options)
    assert caught.value.code == "stale"


def test_a_version_withdrawn_by_the_time_of_a_later_one_is_refused(world):
    batch = pa.RecordBatch.from_pydict({"n": [1]})
    first = world.publish("few", [batch])
    world.publish("few", [batch], withdrawn=[1])
    with pytest.raises(VerificationError) as caught:
        world.open(first, standings=[world.standing("bts.gov.example/few")])
    assert caught.value.code == "withdrawn"
