"""Receipts: those of the vectors, and every other form refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_ledger import checkpoint
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.encoding import b64
from zhixin_ledger.merkle import leaf_hash, verify_inclusion
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.tlogproof import MAX_RECEIPT_BYTES, Receipt, format_receipt, parse_receipt

VECTORS = Path(__file__).parents[1] / "vectors"
VERSIONS = sorted((VECTORS / "versions").glob("*/*/*"))
MALFORMED = sorted((VECTORS / "negative").glob("malformed-receipt-*.json"))
NOTE = checkpoint.sign(
    Checkpoint("ledger.gov.example/2026", 7, bytes(32)), MemorySigner(bytes(32))
).format()
HASH = bytes(range(32))


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: "/".join(path.parts[-3:]))
def test_reads_and_writes_the_receipts_of_the_vectors(folder):
    data = (folder / "receipt.tlog-proof").read_bytes()
    receipt = parse_receipt(data)
    assert format_receipt(receipt.index, receipt.path, receipt.note) == data
    verify_inclusion(
        receipt.index,
        receipt.checkpoint.size,
        leaf_hash((folder / "statement.json").read_bytes()),
        receipt.path,
        receipt.checkpoint.root,
    )


@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.stem)
def test_refuses_the_malformed_receipts_of_the_vectors(path):
    item = json.loads(path.read_text())["files"]["receipt.tlog-proof"]
    if isinstance(item, dict):
        head, repeat = base64.b64decode(item["head"]), base64.b64decode(item["repeat"])
        tail = base64.b64decode(item.get("tail", ""))
        data = head + repeat * int(item["times"]) + tail
    else:
        data = base64.b64decode(item)
    with pytest.raises(FormatError):
        parse_receipt(data)


def test_the_malformed_receipts_are_there():
    assert len(MALFORMED) == 38


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_receipts_round_trip(index, path):
    data = format_receipt(index, path, NOTE)
    receipt = parse_receipt(data)
    assert receipt == Receipt(index, tuple(path), NOTE)
    assert receipt.checkpoint.size == 7
    assert format_receipt(receipt.index, receipt.path, receipt.note) == data


@settings(max_examples=300)
@given(st.data(), st.binary(min_size=1, max_size=3))
def test_a_receipt_that_is_read_is_the_one_that_is_written(data, patch):
    original = format_receipt(3, [HASH, HASH], NOTE)
    place = data.draw(st.integers(0, len(original)))
    cut = data.draw(st.integers(0, 3))
    changed = original[:place] + patch + original[place + cut :]
    try:
        receipt = parse_receipt(changed)
    except FormatError:
        return
    assert format_receipt(receipt.index, receipt.path, receipt.note) == changed


@given(st.binary(max_size=80))
def test_raises_nothing_but_its_own_error_for_any_bytes(data):
    for given_bytes in (data, b"c2sp.org/tlog-proof@v1\n" + data, data + NOTE):
        with pytest.raises(FormatError):
            parse_receipt(given_bytes)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"c2sp.org/tlog-proof@v2\nindex 0\n\n", "line 1"),
        (b"c2sp.org/tlog-proof@v1\nextra QQ==\nindex 0\n\n", "extra data is not allowed"),
        (b"c2sp.org/tlog-proof@v1\nindex 00\n\n", "line 2: the index"),
        (b"c2sp.org/tlog-proof@v1\nindex  0\n\n", "line 2: the index"),
        (b"c2sp.org/tlog-proof@v1\nindex 0\nQQ==\n\n", "line 3: the hash has 1 bytes, want 32"),
        ("c2sp.org/tlog-proof@v1\nindex 0\né\n\n".encode(), "other than ASCII"),
        (b"c2sp.org/tlog-proof@v1\nindex 0\n\n\n", "exactly three lines"),
    ],
)
def test_says_which_line_is_wrong(head, says):
    with pytest.raises(FormatError, match=says):
        parse_receipt(head + NOTE)


def test_limits_size_lines_and_hashes():
    with pytest.raises(FormatError, match="longer than 262144 bytes"):
        parse_receipt(b"x" * (MAX_RECEIPT_BYTES + 1))
    good = format_receipt(0, [HASH] * 63, NOTE)
    with pytest.raises(FormatError, match="64 hashes, at most 63"):
        parse_receipt(good.replace(b"\n\n", f"\n{b64(HASH)}\n\n".encode(), 1))
    long_line = "— " + "a" * (65_535 - 4 - 9) + " AAAAAQI="
    assert len(long_line.encode()) == 65_535
    parse_receipt(good + long_line.encode() + b"\n")
    with pytest.raises(FormatError, match="line 72 is longer than 65535 bytes"):
        parse_receipt(good + long_line.replace("— a", "— aa").encode() + b"\n")
    with pytest.raises(FormatError, match="no empty line"):
        parse_receipt(b"c2sp.org/tlog-proof@v1\nindex 0\n")


@pytest.mark.parametrize(("index", "path"), [(-1, []), (2**63, []), (0, [b"x"]), (0, [HASH] * 64)])
def test_refuses_to_write_what_is_no_receipt(index, path):
    with pytest.raises(FormatError):
        format_receipt(index, path, NOTE)
