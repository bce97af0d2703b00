"""JSON, base64, hex, integers and times: one text for a value, and none other is read."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_ledger import encoding

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def reference_jcs(value: object) -> str:
    """RFC 8785, slowly and plainly: one character after another."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(map(_escape, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(reference_jcs, value)) + "]"
    names = sorted(value, key=lambda name: list(_units(name)))
    return "{" + ",".join(f"{reference_jcs(n)}:{reference_jcs(value[n])}" for n in names) + "}"


def _units(text: str):
    for character in text:
        code = ord(character)
        if code < 0x10000:
            yield code
        else:
            yield 0xD800 + (code - 0x10000 >> 10)
            yield 0xDC00 + (code - 0x10000 & 0x3FF)


def _escape(character: str) -> str:
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    code = ord(character)
    return short.get(code) or (f"\\u{code:04x}" if code < 32 else character)


@given(values)
def test_writes_what_rfc_8785_says_and_reads_it_back(value):
    written = encoding.jcs(value)
    assert written.decode() == reference_jcs(value)
    assert encoding.parse_jcs(written, "value") == value
    assert json.loads(written) == value


@given(values, values)
def test_two_values_never_share_a_text(a, b):
    assert (encoding.jcs(a) == encoding.jcs(b)) == (reference_jcs(a) == reference_jcs(b))


@given(values, st.sampled_from([None, 1, "\t"]), st.booleans(), st.booleans())
def test_reads_canonical_bytes_only(value, indent, ascii_only, reverse):
    def turned(part):
        if isinstance(part, dict):
            return {name: turned(part[name]) for name in reversed(part)} if reverse else part
        return part

    other = json.dumps(turned(value), indent=indent, ensure_ascii=ascii_only).encode()
    if other != encoding.jcs(value):
        with pytest.raises(FormatError):
            encoding.parse_jcs(other, "value")
    if isinstance(value, dict):
        assert encoding.parse_json_object_lenient(other, "value") == value


@given(st.binary(max_size=40) | texts.map(str.encode))
def test_raises_nothing_but_its_own_error_for_any_bytes(data):
    for read in (encoding.parse_jcs, encoding.parse_json_object_lenient):
        try:
            value = read(data, "value")
        except FormatError:
            continue
        assert read is encoding.parse_json_object_lenient or encoding.jcs(value) == data


@given(values, st.data())
def test_a_changed_byte_is_another_value_or_refused(value, data):
    written = bytearray(encoding.jcs(value))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    with suppress(FormatError):
        assert encoding.jcs(encoding.parse_jcs(bytes(written), "value")) == bytes(written)


def _told(read, *arguments):
    try:
        return read(*arguments)
    except FormatError as fault:
        return fault.message


def _carefully(data):
    """As `parse_jcs` without its short cut."""
    value, text = encoding._decode(data, "value", encoding._canonical_decoder)
    if encoding._encoder.encode(value) != text:
        raise FormatError("value is not canonical JSON (RFC 8785): it differs at character ")
    return value


@given(
    st.one_of(
        values.map(encoding.jcs),
        values.map(lambda value: json.dumps(value).encode()),
        values.map(lambda value: json.dumps(value, separators=(",", ":")).encode()),
        st.lists(st.sampled_from(["{", "}", "[", "]", '"a"', '"b"', ":", ",", "1", "null", " "]))
        .map("".join)
        .map(str.encode),
        st.sampled_from([b'{"a":"1","a":"1"}', b'{"b":null,"a":null}', b'["\\ud83d\\ude00"]']),
    )
)
def test_the_short_cut_reads_and_refuses_as_the_careful_reader_does(data):
    quick, careful = _told(encoding.parse_jcs, data, "value"), _told(_carefully, data)
    if isinstance(careful, str) and "it differs at" in careful:
        assert quick.startswith(careful)
        return
    assert quick == careful
    assert encoding.jcs(quick) == encoding.jcs(careful)
    if isinstance(quick, dict):
        assert list(quick) == list(careful)


def test_the_short_cut_stops_where_nesting_might_be_too_deep():
    for depth in (encoding.MAX_DEPTH, encoding.MAX_DEPTH + 1):
        data = b"[" * depth + b"]" * depth
        told = _told(encoding.parse_jcs, data, "value")
        assert ("deeper" in told) == (depth > encoding.MAX_DEPTH)
    wide = encoding.jcs([["x"]] * 1000)
    assert encoding.jcs(encoding.parse_jcs(wide, "value")) == wide


@given(
    st.recursive(
        st.none() | st.booleans() | texts,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text("abcXYZ_ 09", max_size=5), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_texts_are_written_as_everything_is(value):
    assert encoding.jcs_of_texts(value) == encoding.jcs(value)


def test_half_of_a_surrogate_pair_is_written_by_neither():
    for write in (encoding.jcs, encoding.jcs_of_texts):
        with pytest.raises(FormatError, match="surrogate"):
            write({"a": "\ud800"})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff", "not UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"", "not JSON"),
        (b"{} ", "not canonical"),
        (b"{}\n", "not canonical"),
        (b'{"a":"1","a":"2"}', "twice"),
        (b'{"a":"1","\\u0061":"2"}', "twice"),
        (b'{"b":"1","a":"2"}', "order"),
        (b"1", "number"),
        (b"-0", "number"),
        (b"1.5", "number"),
        (b"1e400", "number"),
        (b"NaN", "number"),
        (b"-Infinity", "number"),
        (b'{"a":"\\ud800"}', "not canonical"),
        (b'{"a":"\\/"}', "not canonical JSON (RFC 8785): it differs at character 6"),
        (b'{"a":"\\u000A"}', "not canonical"),
        (b'{"a":"\n"}', "not JSON"),
        (b"{}{}", "not JSON"),
        (b"'a'", "not JSON"),
    ],
)
def test_refuses_json_in_another_form(data, says):
    with pytest.raises(FormatError, match=re.escape(says)):
        encoding.parse_jcs(data, "file")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_refuses_deep_nesting_without_running_out_of_stack(opening):
    with pytest.raises(FormatError, match="nested deeper than 64"):
        encoding.parse_jcs(opening * 2_000_000, "file")
    for depth in (65, 66, 200):
        with pytest.raises(FormatError, match="nested deeper than 64"):
            encoding.parse_jcs(b"[" * depth + b"]" * depth, "file")
    assert encoding.parse_jcs(b"[" * 64 + b"]" * 64, "file")
    deep: list = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(FormatError, match="nested deeper than 64"):
        encoding.jcs(deep)


def test_reads_large_files_in_linear_time():
    item = '{"a":"' + "x" * 50 + '","b":["",""],"c":"\\n"}'
    for count in (10_000, 100_000):
        encoding.parse_jcs(("[" + ",".join([item] * count) + "]").encode(), "file")


@pytest.mark.parametrize("value", [1, 1.0, {"a": 2}, {1: "a"}, b"a", {"a": object()}, "\ud800"])
def test_refuses_to_write_what_section_3_has_not(value):
    with pytest.raises(FormatError):
        encoding.jcs(value)


def test_writes_tuples_as_arrays():
    assert encoding.jcs({"a": ("b", None)}) == b'{"a":["b",null]}'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a":"\\ud800"}', "half of a surrogate pair"),
        (b'{"a":"\\ud800x\\udc00"}', "half of a surrogate pair"),
        (b'{"a":"1", "a":"1"}', "twice"),
        (b'{"a": 1}', "number"),
        (b"[]", "must be a JSON object"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"{" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"a": "b",}', "not JSON"),
        (b"{/**/}", "not JSON"),
    ],
)
def test_the_lenient_reader_frees_the_layout_and_nothing_else(data, says):
    with pytest.raises(FormatError, match=says):
        encoding.parse_json_object_lenient(data, "envelope")


def test_the_lenient_reader_joins_escaped_surrogate_pairs():
    data = b' {"b" : "\\ud83d\\ude00" , "a":[]}\r\n'
    assert encoding.parse_json_object_lenient(data, "envelope") == {"b": "😀", "a": []}


def test_members_are_all_there_and_none_other():
    value = {"a": "1", "b": None}
    assert encoding.members(value, "file", ("b", "a")) == (None, "1")
    with pytest.raises(FormatError, match="file lacks c"):
        encoding.members(value, "file", ("a", "b", "c"))
    with pytest.raises(FormatError, match="file has 1 unknown members, such as 'b'"):
        encoding.members(value, "file", ("a",))
    with pytest.raises(FormatError, match="file must be a JSON object"):
        encoding.members(["a"], "file", ("a",))


def test_names_the_kind_of_value_that_is_wanted():
    assert encoding.as_text("a", "name") == "a"
    assert encoding.as_array(["a"], "list") == ["a"]
    for read in (encoding.as_text, encoding.as_array, encoding.as_object):
        with pytest.raises(FormatError, match="place must be a JSON"):
            read(None, "place")


@given(st.binary(max_size=80))
def test_base64_and_hex_round_trip(data):
    assert encoding.unb64(encoding.b64(data), "data", len(data)) == data
    assert encoding.parse_hex(data.hex(), "data", len(data)) == data


@given(st.text(max_size=12) | st.text("AQgw+/-_=\n ", max_size=9))
def test_base64_that_is_read_is_the_one_that_is_written(text):
    try:
        data = encoding.unb64(text, "data")
    except FormatError:
        return
    assert encoding.b64(data) == text


@given(st.text("0123456789abcdefABCDEF _xé٣\n", min_size=4, max_size=4))
def test_hex_that_is_read_is_the_one_that_is_written(text):
    try:
        data = encoding.parse_hex(text, "data", 2)
    except FormatError:
        return
    assert data.hex() == text


@pytest.mark.parametrize("text", [None, True, ["QQ=="], "QQ", "QR==", "Q Q==", "QQ==\n", "QQ==="])
def test_refuses_other_base64(text):
    with pytest.raises(FormatError, match="data"):
        encoding.unb64(text, "data")


def test_says_how_long_base64_should_be():
    with pytest.raises(FormatError, match="data has 1 bytes, want 2"):
        encoding.unb64("QQ==", "data", 2)


@pytest.mark.parametrize("text", [None, "AB", "a", "abc", "zz", "٣٣", "a ", " ab", "ab\n"])
def test_refuses_other_hex(text):
    with pytest.raises(FormatError, match="data must be"):
        encoding.parse_hex(text, "data", 1)


@given(st.integers(0, 2**63 - 1))
def test_integers_round_trip(number):
    assert encoding.parse_uint(str(number), "number") == number


@given(st.text(max_size=6) | st.text("0123456789+-_ .e\n٣", max_size=6))
def test_an_integer_that_is_read_is_the_one_that_is_written(text):
    try:
        number = encoding.parse_uint(text, "number")
    except FormatError:
        return
    assert str(number) == text


@pytest.mark.parametrize(
    "text", ["", "01", "-1", "+1", "1_0", "١٢", "12\n", " 1", "1.0", "1e3", str(2**63), "9" * 5000]
)
def test_refuses_other_integers(text):
    with pytest.raises(FormatError, match="number must be an integer below 2\\^63"):
        encoding.parse_uint(text, "number")


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_round_trip(time):
    text = encoding.format_time(time)
    assert len(text) == 27
    assert encoding.parse_time(text, "time") == time


@settings(max_examples=300)
@given(st.datetimes(), st.text("0123456789TZ:.- +", min_size=1, max_size=1), st.integers(0, 26))
def test_a_time_that_is_read_is_the_one_that_is_written(time, character, place):
    text = encoding.format_time(time.replace(tzinfo=UTC))
    text = text[:place] + character + text[place + 1 :]
    try:
        read = encoding.parse_time(text, "time")
    except FormatError:
        return
    assert encoding.format_time(read) == text


def test_writes_times_in_utc():
    time = datetime(2026, 1, 31, 16, tzinfo=timezone(timedelta(hours=8)))
    assert encoding.format_time(time) == "2026-01-31T08:00:00.000000Z"
    assert encoding.format_time(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "time",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001 - that is the case
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
    ],
)
def test_refuses_to_write_times_that_have_no_text(time):
    with pytest.raises(FormatError):
        encoding.format_time(time)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
        "2016-12-31T23:59:60.000000Z",
        "2026-01-01T24:00:00.000000Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000000z",
        "2026-01-01 00:00:00.000000Z",
        "2026-01-01T00:00:00.000000+00:00",
        "2026-01-01T00:00:00.000000000Z",
        "٢٠٢٦-01-01T00:00:00.000000Z",
        "2026-01-01T00:00:00.000000Z\n",
        "",
    ],
)
def test_refuses_other_times(text):
    with pytest.raises(FormatError, match="time"):
        encoding.parse_time(text, "time")


def test_hashes_with_sha_256():
    assert encoding.sha256(b"").hex() == encoding.sha256_hex(b"")
    assert encoding.sha256_hex(b"").startswith("e3b0c44298fc1c14")
