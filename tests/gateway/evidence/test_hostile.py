"""Whatever stands where something else is due is refused by name, never with a traceback."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_gateway.evidence import verify

VECTORS = Path(__file__).parents[2] / "vectors"
OTHERS = (None, True, "", "0", "x", "١", "9" * 19, "00" * 32, [], [None], {}, {"": ""}, [[[]]] * 2)


def places(value, way=()):
    """The way to every value inside."""
    inner = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else inner:
        yield (*way, key)
        yield from places(item, (*way, key))


def changed(value, way, other):
    if not way:
        return other
    key, *rest = way
    if isinstance(value, dict):
        return {**value, key: changed(value[key], rest, other)}
    return [*value[:key], changed(value[key], rest, other), *value[key + 1 :]]


def everywhere(data):
    """The file with each of its values replaced by each of the others."""
    value = json.loads(data)
    for way in places(value):
        for other in OTHERS:
            mutated = changed(value, way, other)
            if mutated != value:
                yield way, verify.jcs(mutated)


JSON_FILES = (
    "governance.json",
    "standing.json",
    "statement.json",
    "trust/members.json",
    "evidence.json",
)


@pytest.mark.parametrize("name", JSON_FILES)
def test_another_value_anywhere_in_a_file_is_refused(name, small, judge):
    for way, data in everywhere(small[name]):
        assert judge({**small, name: data})[0] is not None, way


def test_another_value_anywhere_in_what_was_signed_is_refused(small, judge):
    envelope = json.loads(small["statement.json"])
    payload = verify.unb64(envelope["payload"], "payload")
    for way, data in everywhere(payload):
        entry = verify.jcs({**envelope, "payload": verify.b64(data)})
        assert judge({**small, "statement.json": entry})[0] is not None, way


def test_another_value_anywhere_in_a_decision_is_refused(small, judge):
    chain = json.loads(small["governance.json"])
    entry = json.loads(verify.unb64(chain["statements"][0]["statement"], "entry"))
    for way, data in everywhere(verify.unb64(entry["payload"], "payload")):
        statement = verify.jcs({**entry, "payload": verify.b64(data)})
        mutated = changed(chain, ("statements", 0, "statement"), verify.b64(statement))
        governance = verify.Governance()
        with pytest.raises(verify.Refused):
            governance.apply(0, statement)
        code, _ = judge({**small, "governance.json": verify.jcs(mutated)})
        assert code is not None, way


def question():
    return verify.Question(verify.Report(), datetime(2026, 2, 4, 14, 48, tzinfo=UTC))


@pytest.mark.slow
def test_another_value_anywhere_in_a_manifest_is_refused(trust_of, tmp_path):
    folder, trust = tmp_path / "1", trust_of(VECTORS / "trust")
    shutil.copytree(VECTORS / "versions" / "tax.gov.example" / "types" / "1", folder)
    assert verify.judge_folder(folder, trust, question())
    for way, data in everywhere((folder / "manifest.json").read_bytes()):
        (folder / "manifest.json").write_bytes(data)
        with pytest.raises(verify.Refused):
            verify.judge_folder(folder, trust, question())
        assert way


def test_another_value_anywhere_in_a_record_proof_is_refused(trust_of):
    trust = trust_of(VECTORS / "trust")
    case = json.loads((VECTORS / "accept" / "record-proof-first.json").read_text())
    proof = verify.base64.b64decode(case["record_proof"])
    assert verify.judge_record(proof, trust, question())
    for way, data in everywhere(proof):
        with pytest.raises(verify.Refused):
            verify.judge_record(data, trust, question())
        assert way


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_bytes_put_in_taken_out_or_doubled_are_refused(small, judge, data):
    name = data.draw(st.sampled_from(sorted({*small} - {"README.txt", "FORMATS.md", "verify.py"})))
    whole = small[name]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    new = data.draw(st.binary(max_size=8) | st.just(whole[start:end] * 2) | st.just(b"\xff\x00"))
    mutated = whole[:start] + new + whole[end:]
    if mutated != whole:
        assert judge({**small, name: mutated})[0] is not None


def test_a_part_stated_beyond_every_limit_is_refused():
    path = VECTORS / "versions" / "tax.gov.example" / "types" / "1" / "manifest.json"
    whole = json.loads(path.read_bytes())
    assert verify.parse_manifest(verify.jcs(whole)).parts
    for way, other in (
        (("parts", 0, "bytes"), str((256 << 20) + 1)),
        (("parts", 0, "records"), "0"),
    ):
        with pytest.raises(verify.Refused):
            verify.parse_manifest(verify.jcs(changed(whole, way, other)))


@pytest.mark.parametrize("depth", [64, 65, 900, 100_000])
def test_json_nested_too_deep_is_refused(depth):
    data = b"[" * depth + b"]" * depth
    if depth <= 64:
        assert verify.parse_json(data, "it")
        return
    with pytest.raises(verify.Refused) as caught:
        verify.parse_json(data, "it")
    assert caught.value.code == "malformed"


@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
def test_a_pipe_or_link_is_never_waited_for_or_followed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder", "absent", "nul\0"):
        with pytest.raises(verify.Refused) as caught:
            verify.read_small(tmp_path / name, name, 10)
        assert caught.value.code == "malformed"


def test_a_name_or_value_that_steers_a_terminal_is_spelled_out(made, ask, monkeypatch):
    _, files = made
    judge = verify.judge

    def steering(options, report):
        judge(options, report)
        report.proved.append("\x1b[2J \u202e 中文 \x9b")

    monkeypatch.setattr(verify, "judge", steering)
    _, told = ask(files)
    assert "\\x1b[2J \\u202e 中文 \\x9b" in told


def test_what_nobody_thought_of_is_a_refusal(made, ask, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(verify, "check_chain", broken)
    status, told = ask(made[1], "--json")
    assert (status, json.loads(told)["code"]) == (1, "internal")
