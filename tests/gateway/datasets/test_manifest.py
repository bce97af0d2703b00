"""Manifests: every form and limit of section 2.3, by the vectors and by mutation."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_gateway.datasets import manifest as manifests
from zhixin_gateway.datasets.manifest import (
    Input,
    QualityItem,
    parse_inputs,
    parse_manifest,
    part_name,
)


def cases(vectors, folder):
    for path in sorted((vectors / folder).glob("*.json")):
        case = json.loads(path.read_text())
        item = case.get("files", {}).get("manifest.json")
        if item is not None and ("head" in item or isinstance(item, str)):
            yield path.stem, item


@pytest.fixture(scope="module")
def good(vectors):
    return (vectors / "versions/tax.gov.example/types/1/manifest.json").read_bytes()


def test_every_good_manifest_is_read_and_written_back(vectors):
    for path in (vectors / "versions").rglob("manifest.json"):
        assert parse_manifest(path.read_bytes()).to_bytes() == path.read_bytes()


def test_refuses_every_manifest_that_is_malformed_and_takes_all_others(vectors, forms):
    refused = 0
    for name, item in [*cases(vectors, "negative"), *cases(vectors, "accept")]:
        data = forms.expanded(item)
        if name.startswith(("malformed-manifest", "malformed-empty", "malformed-before")):
            with pytest.raises(FormatError):
                parse_manifest(data)
            refused += 1
        else:
            assert parse_manifest(data).to_bytes() == data
    assert refused > 80


def test_reads_what_stands_there(good):
    read = parse_manifest(good)
    assert (read.dataset, read.version) == ("tax.gov.example/types", 1)
    assert read.schema.names[:3] == ["bool", "int", "uint"]
    assert read.fields == json.loads(good)["fields"]
    assert (read.records, read.quarantined) == (12, 1)
    assert read.parts[0].path == part_name(0) == "part-00000.parquet"
    assert read.parts[0].size_bytes == 5948
    assert read.quality[0] == QualityItem("not-null", "error", 13, 1)
    assert read.source.watermark is None
    assert read.run.orchestrator == "airflow"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "types"),
        ("version", 0),
        ("root", bytes(31)),
        ("records", -1),
        ("inputs", (Input("a.b/c", 2, bytes(32)), Input("a.b/c", 1, bytes(32)))),
        ("quality", (QualityItem("r", "error", 1, 0), QualityItem("r", "error", 1, 0))),
    ],
)
def test_writes_nothing_that_it_would_not_read(good, field, value):
    with pytest.raises(FormatError):
        dataclasses.replace(parse_manifest(good), **{field: value}).to_bytes()


def test_inputs_are_sorted_by_bytes_and_then_by_number():
    def item(dataset, version):
        return {"dataset": dataset, "version": version, "statement": "00" * 32}

    in_order = [item("a.b/c", "9"), item("a.b/c", "10"), item("b.a/c", "1")]
    assert [i.version for i in parse_inputs(in_order, "inputs")] == [9, 10, 1]
    for wrong in ([in_order[1], in_order[0]], [in_order[0]] * 2, [in_order[2], in_order[0]]):
        with pytest.raises(FormatError, match="not sorted"):
            parse_inputs(wrong, "inputs")


def test_refuses_more_parts_and_bytes_than_a_version_can_have(good, monkeypatch):
    monkeypatch.setattr(manifests, "MAX_PARTS", 0)
    with pytest.raises(FormatError, match="1 parts, at most 0"):
        parse_manifest(good)
    monkeypatch.undo()
    monkeypatch.setattr(manifests, "MAX_MANIFEST_BYTES", len(good) - 1)
    with pytest.raises(FormatError, match="bytes, at most"):
        parse_manifest(good)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_no_other_bytes_are_taken_for_the_same_manifest(good, data):
    at = data.draw(st.integers(0, len(good) - 1))
    put = data.draw(st.binary(max_size=3))
    cut = data.draw(st.integers(0, 3))
    changed = good[:at] + put + good[at + cut :]
    with contextlib.suppress(FormatError):
        assert parse_manifest(changed).to_bytes() == changed


@given(data=st.binary(max_size=60))
def test_reading_anything_raises_no_other_error(data):
    with contextlib.suppress(FormatError):
        parse_manifest(data)


def test_deep_nesting_is_a_format_error(good):
    deep = b'{"type":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(FormatError):
        parse_manifest(deep)
