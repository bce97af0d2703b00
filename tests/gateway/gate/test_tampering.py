"""Whatever is changed in a version's directory is refused with the code that section 4 says.

The tables below are written from docs/formats.md, not from the gate.
"""

import os
import random
import shutil

import pyarrow as pa
import pytest
from zhixin_errors import VerificationError
from zhixin_gateway.gate import verify

BASE = "land.gov.example/flights/4"

# Which codes a changed byte in a file may have: its form is checked first, then the rows in order
# that the file's bytes bear on.
CONTRACT = {"malformed", "contract"}
MANIFEST = {"malformed", "manifest"}
STATEMENT = {"malformed", "unexpected", "statement-signature"}

# A receipt line by line: what a byte of it bears on.
RECEIPT_HEADER = {"malformed"}
RECEIPT_INDEX = {"malformed", "statement-signature", "inclusion"}
RECEIPT_PATH = {"malformed", "inclusion"}
RECEIPT_TEXT = {"malformed", "log-signature"}
RECEIPT_COSIGNER = {"malformed", "quorum"}


def receipt_table(data):
    """For each byte of a receipt: the codes, and whether its line may become a surplus unknown."""
    lines = data.split(b"\n")
    blank = lines.index(b"")
    table = []
    for number, line in enumerate(lines[:-1]):
        surplus = False
        if number == 0:
            codes = RECEIPT_HEADER
        elif number == 1:
            codes = RECEIPT_INDEX
        elif number < blank:
            codes = RECEIPT_PATH
        elif number == blank:
            codes = RECEIPT_HEADER
        elif number < blank + 4:
            codes = RECEIPT_TEXT
        elif number == blank + 4:
            codes = RECEIPT_HEADER
        elif b"/witness" in line:
            codes, surplus = RECEIPT_COSIGNER, True
        else:
            codes = RECEIPT_TEXT
        table += [(codes, surplus)] * len(line)
        # A newline that goes joins two lines, or is a control character in one.
        table.append((codes | {"malformed"}, False))
    return table


EVERY = pytest.mark.parametrize(
    ("lay_out", "every"), [("folder", 1), ("objects", 97)], indirect=["lay_out"]
)
BOTH = pytest.mark.parametrize("lay_out", ["folder", "objects"], indirect=True)


def flipped(data, position):
    """The bytes with one bit changed, another bit at another position."""
    return data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :]


@pytest.mark.parametrize(
    ("name", "codes"),
    [("contract.yaml", CONTRACT), ("manifest.json", MANIFEST), ("statement.json", STATEMENT)],
)
@EVERY
def test_every_byte_of_a_small_file_is_held(name, codes, lay_out, every):
    case = lay_out({"base": BASE})
    path = case.folder / name
    data = path.read_bytes()
    seen = set()
    for position in range(0, len(data), every):
        path.write_bytes(flipped(data, position))
        verdict = case.verify()
        assert verdict.code in codes, (position, verdict.message)
        seen.add(verdict.code)
    assert every > 1 or seen - {"unexpected"} == codes - {"unexpected"}


@EVERY
def test_every_byte_of_a_receipt_is_held_or_makes_a_surplus_line_unknown(lay_out, every):
    case = lay_out({"base": BASE})
    want = case.open(unsafe_no_standing=True).to_arrow()
    path = case.folder / "receipt.tlog-proof"
    data = path.read_bytes()
    table = receipt_table(data)
    assert len(table) == len(data)
    seen, harmless = set(), 0
    for position, (codes, surplus) in [*enumerate(table)][::every]:
        path.write_bytes(flipped(data, position))
        verdict = case.verify()
        if verdict.ok and surplus:
            harmless += 1
            assert case.open(unsafe_no_standing=True).to_arrow().equals(want)
        else:
            assert verdict.code in codes, (position, verdict.message)
            seen.add(verdict.code)
    assert harmless > 0
    assert every > 1 or seen >= {"malformed", "inclusion", "log-signature", "quorum"}


def test_two_thousand_bytes_anywhere_in_the_parts_are_held(world):
    schema = pa.schema([("n", pa.int64()), ("text", pa.string())])
    numbers = range(140_000)
    batch = pa.RecordBatch.from_pydict(
        {"n": numbers, "text": [f"text {n * n % 1009}" for n in numbers]}, schema=schema
    )
    folder, trust = world.publish("many", [batch], key=["n"]), world.trust()
    parts = {path: path.read_bytes() for path in sorted(folder.glob("part-*"))}
    sizes = [len(data) for data in parts.values()]
    chooser = random.Random(5)
    for _ in range(2000):
        path = chooser.choices(list(parts), weights=sizes)[0]
        data = parts[path]
        position = chooser.randrange(len(data))
        changed = data[position] ^ chooser.randrange(1, 256)
        with path.open("r+b") as file:
            file.seek(position)
            file.write(bytes([changed]))
        verdict = verify(folder, trust, now=world.now)
        assert verdict.code == "part-digest", verdict.message
        assert path.name in verdict.message
        with path.open("r+b") as file:
            file.seek(position)
            file.write(data[position : position + 1])
    assert verify(folder, trust, now=world.now, deep=True).ok


@pytest.mark.parametrize(
    "name", ["contract.yaml", "manifest.json", "statement.json", "receipt.tlog-proof"]
)
def test_a_small_file_cut_anywhere_is_refused(name, lay_out):
    case = lay_out({"base": BASE})
    path = case.folder / name
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        verdict = case.verify()
        if name == "contract.yaml":
            assert verdict.code in CONTRACT
        elif verdict.code != "malformed":
            # Cut after a whole signature line a receipt is well formed, and lacks signatures.
            assert name == "receipt.tlog-proof"
            assert verdict.code in {"log-signature", "quorum"} or verdict.ok


@pytest.mark.parametrize("length", [0, 1, 100, -1])
@BOTH
def test_a_part_cut_anywhere_is_refused(length, lay_out):
    case = lay_out({"base": BASE})
    path = case.folder / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:length])
    assert case.verify().code == "part-digest"
    with pytest.raises(VerificationError) as caught:
        case.open(unsafe_no_standing=True)
    assert caught.value.code == "part-digest"


def test_a_pipe_or_device_under_a_listed_name_is_refused_and_never_waited_for(lay_out):
    for name in ("manifest.json", "part-00000.parquet"):
        case = lay_out({"base": BASE})
        (case.folder / name).unlink()
        os.mkfifo(case.folder / name)
        verdict = case.verify()
        assert verdict.code == "malformed"
        assert name in verdict.message
        shutil.rmtree(case.folder.parents[2])
        shutil.rmtree(case.trust_folder)


def swap(vectors, case, other, *names):
    for name in names:
        shutil.copy(vectors / "versions" / other / name, case.folder / name)


# FC-48: an entry that verifies for itself, beside something else.


@pytest.mark.parametrize(
    ("names", "other", "expect", "code"),
    [
        (["receipt.tlog-proof"], "land.gov.example/flights/1", None, "inclusion"),
        (
            ["statement.json", "receipt.tlog-proof"],
            "land.gov.example/flights/1",
            "land.gov.example/flights",
            "manifest",
        ),
        (
            ["statement.json", "receipt.tlog-proof"],
            "land.gov.example/flights/1",
            "land.gov.example/flights@2",
            "unexpected",
        ),
        (
            ["statement.json", "receipt.tlog-proof"],
            "police.gov.example/tariffs/1",
            "land.gov.example/flights@2",
            "unexpected",
        ),
        (
            ["statement.json", "receipt.tlog-proof"],
            "police.gov.example/tariffs/1",
            "police.gov.example/tariffs@1",
            "manifest",
        ),
        (["manifest.json"], "land.gov.example/flights/1", None, "unlisted-file"),
        (["statement.json"], "land.gov.example/flights/1", None, "unexpected"),
    ],
)
@BOTH
def test_a_good_entry_beside_another_versions_data_is_refused(
    names, other, expect, code, lay_out, vectors
):
    given = {"base": "land.gov.example/flights/2"} | ({"expect": expect} if expect else {})
    case = lay_out(given)
    swap(vectors, case, other, *names)
    assert case.verify().code == code
    with pytest.raises(VerificationError) as caught:
        case.open(unsafe_no_standing=True)
    assert caught.value.code == code


@BOTH
def test_without_being_asked_for_a_foreign_entry_is_still_refused(lay_out, vectors):
    case = lay_out({"base": "land.gov.example/flights/2", "path": "some/where"})
    swap(vectors, case, "police.gov.example/codes/1", "statement.json", "receipt.tlog-proof")
    assert case.verify().code == "manifest"


def test_every_pair_of_versions_with_swapped_receipts_is_refused(lay_out, vectors, results):
    bases = list(results["versions"])
    case = lay_out({"base": bases[0], "path": "some/where"})
    for base in bases:
        shutil.rmtree(case.folder)
        shutil.copytree(vectors / "versions" / base, case.folder)
        for other in bases:
            if other != base:
                swap(vectors, case, other, "receipt.tlog-proof")
                assert case.verify().code in {"inclusion", "statement-signature"}
