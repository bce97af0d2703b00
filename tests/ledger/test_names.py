"""Names of members, datasets, origins and versions."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_ledger import names

LONG_MEMBER = ".".join(["a" * 63] * 3 + ["b" * 55])  # 247 bytes


@pytest.mark.parametrize(
    "name", ["bts.gov.example", "a.b", "1.2", "xn--fiqs8s.cn", "a-b.c-d", "a" * 63 + ".b"]
)
def test_takes_lowercase_dns_names_as_members(name):
    assert names.check_member(name) == name


def test_takes_a_member_of_247_bytes_and_none_longer():
    assert len(LONG_MEMBER) == 247
    assert names.check_member(LONG_MEMBER) == LONG_MEMBER
    with pytest.raises(FormatError, match="at most 247 bytes"):
        names.check_member(LONG_MEMBER + "b")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "bts",
        "BTS.gov",
        "a..b",
        ".a.b",
        "a.b.",
        "-a.b",
        "a-.b",
        "a_b.c",
        "a.b\n",
        "a b.c",
        "é.gov",
        "a" * 64 + ".b",
        "a/b.c",
        None,
        True,
    ],
)
def test_refuses_other_members(name):
    with pytest.raises(FormatError, match="member"):
        names.check_member(name, "member")


@pytest.mark.parametrize("name", ["f", "flights", "a-", "a1", "a" * 63])
def test_takes_dataset_names(name):
    assert names.check_dataset_name(name) == name
    assert names.split_dataset(f"a.b/{name}") == ("a.b", name)
    assert names.check_dataset(f"a.b/{name}") == f"a.b/{name}"


@pytest.mark.parametrize("name", ["", "1a", "-a", "A", "a_b", "a" * 64, "a\n", "é", "a/b", None])
def test_refuses_other_dataset_names(name):
    with pytest.raises(FormatError):
        names.check_dataset_name(name)
    with pytest.raises(FormatError):
        names.split_dataset(f"a.b/{name}" if name is not None else None)


@pytest.mark.parametrize("name", ["flights", "a.b", "a.b/", "/flights", "a/flights", "a.b/c/d"])
def test_refuses_a_dataset_without_its_member(name):
    with pytest.raises(FormatError):
        names.split_dataset(name)


def test_splits_a_version_of_a_dataset():
    assert names.parse_dataset_version("bts.gov.example/flights@3") == (
        "bts.gov.example/flights",
        3,
    )


@pytest.mark.parametrize("text", ["a.b/c", "a.b/c@", "a.b/c@0", "a.b/c@01", "a.b/c@1@2", "@1", ""])
def test_refuses_other_versions_of_datasets(text):
    with pytest.raises(FormatError):
        names.parse_dataset_version(text)


def test_versions_count_from_1():
    assert names.parse_version("1") == 1
    with pytest.raises(FormatError, match="count from 1"):
        names.parse_version("0")


@pytest.mark.parametrize("origin", ["ledger.gov.example/2026", "!", "~", "a" * 255, "a,b*"])
def test_takes_visible_ascii_as_origin(origin):
    assert names.check_origin(origin) == origin


@pytest.mark.parametrize("origin", ["", "a+b", "a b", "a\n", "a" * 256, "ä", "\x7f", "\x1f", None])
def test_refuses_other_origins(origin):
    with pytest.raises(FormatError):
        names.check_origin(origin)


def test_contract_versions_compare_as_numbers():
    assert names.parse_contract_version("1.10.0") > names.parse_contract_version("1.9.9")
    assert names.parse_contract_version("0.0.0") == (0, 0, 0)


@pytest.mark.parametrize(
    "text", ["1.0", "1", "", "1.0.0.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1..0", f"1.{2**63}.0"]
)
def test_refuses_other_contract_versions(text):
    with pytest.raises(FormatError):
        names.parse_contract_version(text)


@given(st.text(max_size=30) | st.text("ab1-.@/+ \n", max_size=12))
def test_raises_nothing_but_its_own_error_for_any_text(text):
    for read in (
        names.check_member,
        names.check_dataset_name,
        names.split_dataset,
        names.parse_dataset_version,
        names.check_origin,
        names.parse_contract_version,
    ):
        with suppress(FormatError):
            read(text)
