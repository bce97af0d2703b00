"""Field cases of the ledger: what other logs, clients and mirrors got wrong.

Each test names its case; the inputs under ``files/`` are unchanged.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zhixin_errors import (
    FormatError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    VerificationError,
)
from zhixin_gateway.gate import receipts
from zhixin_gateway.home import Home
from zhixin_gateway.settings import WitnessSetting
from zhixin_ledger import dsse, encoding, merkle
from zhixin_ledger.client import contract_statement, dataset_statement, withdrawal_statement
from zhixin_ledger.http.client import HttpLog
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.tlogproof import parse_receipt

FILES = Path(__file__).parent / "files"


def case_of(name):
    return json.loads((FILES / name).read_text("utf-8"))


def described(case):
    return case["desc"]


def hashes(texts):
    return [bytes.fromhex(text) for text in texts]


# FC-35: a proof and a tree size of two moments.


@pytest.mark.parametrize("case", case_of("35-inclusion.json"), ids=described)
def test_fc_35_a_path_holds_only_with_size_and_root_of_one_checkpoint(case):
    # A root comes from the signed checkpoint, never from whoever sends the path.
    root = bytes.fromhex(case.get("ok_with_checkpoint_root", case["root"]))
    given = (case["index"], case["size"], bytes.fromhex(case["leaf"]), hashes(case["path"]), root)
    if case["ok"]:
        merkle.verify_inclusion(*given)
        return
    with pytest.raises(VerificationError) as caught:
        merkle.verify_inclusion(*given)
    assert caught.value.code == "inclusion"


ONE_FIELD = {"id": {"type": "integer", "required": True}}


def test_fc_35_first_last_and_only_record_can_be_proved(agency, tmp_path):
    for name, ids in (("three", [1, 2, 3]), ("one", [7])):
        agency.file(f"{name}.csv", "id\n" + "".join(f"{number}\n" for number in ids))
        contract = agency.contract(name, ONE_FIELD, table=f"{name}.csv", key=("id",))
        assert agency.run(contract).code == 0
        for number in {ids[0], ids[-1]}:
            proof = tmp_path / f"{name}-{number}.json"
            where = ("--where", f"id = {number}", "--out", proof)
            proved = agency.zhixin("prove", agency.version(name), *where)
            assert proved.code == 0, proved.err
            trust = ("--trust", agency.home / "trust")
            told = agency.zhixin("verify-record", proof, *trust)
            assert told.code == 0, told.err
            assert f'"{number}"' in told.out or str(number) in told.out


def contract_entry(home, number):
    payload = contract_statement(
        home.trust().origin, f"{home.member}/d{number}", "1.0.0", f"{number:064x}"
    )
    return dsse.sign_envelope(payload, [home.signer()])


@pytest.mark.slow
def test_fc_35_receipts_asked_for_while_others_publish_all_hold(agency, serving):
    """A thousand receipts, each of the ledger as it is at that moment."""
    home = Home.open(agency.home)
    trust, stop = home.trust(), threading.Event()
    with serving(agency) as url:
        agency.ledger(url)
        home = Home.open(agency.home)
        client, other = home.ledger_client(), home.ledger_client()

        def publish():
            for number in count():
                if stop.wait(0.1):
                    return
                other.submit(contract_entry(home, number))

        thread = threading.Thread(target=publish)
        thread.start()
        sizes = set()
        try:
            clock = receipts.Clock(datetime.now(UTC))
            chosen = random.Random(35)
            size = client.sync().size
            for _ in range(1_000):
                index = chosen.choice([0, 1, size - 1, chosen.randrange(size)])
                receipt = parse_receipt(client.receipt(index))
                receipts.check_log(receipt.signed, trust)
                receipts.check_cosigned(receipt.signed, trust, clock)
                receipts.check_included(receipt, client.entry(index))
                size = receipt.checkpoint.size
                sizes.add(size)
        finally:
            stop.set()
            thread.join(60)
            client.close()
            other.close()
    assert len(sizes) > 10


# FC-38: an idle ledger stays fresh.


@pytest.fixture
def published(agency):
    """Publish things, of one record; again after the file was changed."""
    agency.file("things.csv", "id\n1\n")
    contract = agency.contract("things", ONE_FIELD, table="things.csv", key=("id",))

    def run():
        return agency.run(contract)

    return run


def test_fc_38_an_idle_ledger_is_cosigned_again_with_new_times(agency, published, clocks, tmp_path):
    done = published()
    assert done.code == 0, done.err
    path, trust = agency.version("things"), ("--trust", agency.home / "trust")
    entries = Home.open(agency.home).ledger_view().state().size
    fresh = ("--max-age", "1h", "--json")
    clocks.verifying(hours=2)
    assert agency.zhixin("verify", path, *trust, *fresh).json["code"] == "stale"

    clocks.publishing(hours=2)
    standing = tmp_path / "things.standing.json"
    assert agency.zhixin("standing", agency.name("things"), standing).code == 0
    view = Home.open(agency.home).ledger_view()
    assert view.state().size == entries, "no entry and no seal came in"
    online = agency.zhixin("verify", path, *trust, *fresh, "--ledger", f"file:{agency.home}")
    assert (online.code, online.json["code"]) == (0, None)
    disk = shutil.copytree(path, tmp_path / "disk" / "things-1")
    offline = ("--expect", agency.name("things@1"), "--standing", standing)
    assert agency.zhixin("verify", disk, *trust, *fresh, *offline).code == 0

    clocks.publishing(hours=4)
    clocks.verifying(hours=4)
    (agency.home / "keys" / "cosigner.pem").rename(tmp_path / "away.pem")  # the cosigners stop
    for more in (("--ledger", f"file:{agency.home}"), offline):
        assert agency.zhixin("verify", disk, *trust, *fresh, *offline[:2], *more).json["code"] == (
            "stale"
        )
    agency.file("things.csv", "id\n1\n2\n")
    goes_on = published()
    assert (goes_on.code, goes_on.json["pending"], goes_on.json["records"]) == (3, True, 2)
    (tmp_path / "away.pem").rename(agency.home / "keys" / "cosigner.pem")
    assert agency.zhixin("status", "--resume").code == 0
    assert agency.versions("things") == [1, 2]


# FC-41: what was altered on a disk, and a server that alters what it sends.

FLIP_CODES = {
    *("tile", "root", "seal", "state", "rule", "forked", "stale"),  # of the audit
    *("malformed", "log-signature", "quorum"),  # of a checkpoint, as of a receipt
    *("database", "cosigned"),  # of the record beside the files (docs/faults.md)
}


def rows_of(database):
    """Every row of every table; None where it can't be read."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return list(connection.iterdump())
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def flips(folder):
    """(file, place) in each stored file: its middle; of a database a byte of each page in use."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        if file.suffix == ".sqlite":
            rows = {match.start() for match in re.finditer(rb'"payload|gov.example', data)}
            yield from ((file, at) for at in sorted({row // 4096: row for row in rows}.values()))
        elif file.name == "checkpoint" or "tile" in file.parts:
            yield file, len(data) // 2


def test_fc_41_fsck_names_every_flipped_byte(agency, published):
    assert published().code == 0
    agency.file("things.csv", "id\n1\n2\n")
    assert published().code == 0
    assert agency.zhixin("ledger", "fsck").code == 0
    for database in agency.home.glob("*/*.sqlite"):  # else it is the WAL that is read
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    places = [*flips(agency.home / "log"), *flips(agency.home / "ledger")]
    found = set()
    for file, place in places:
        whole, rows = file.read_bytes(), rows_of(file)
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        read_by_nobody = file.suffix == ".sqlite" and rows_of(file) == rows
        told = agency.zhixin("ledger", "fsck", "--json")
        file.write_bytes(whole)
        if read_by_nobody:  # a row's place before it was moved (docs/faults.md)
            continue
        found.add(file.name)
        faults = [copy for copy in told.json["copies"] if not copy["ok"]]
        assert (told.code, bool(faults)) == (1, True), (file, place)
        assert {copy["code"] for copy in faults} <= FLIP_CODES, (file, faults)
        if "tile" in file.parts:
            assert any(copy["index"] is not None for copy in faults), (file, faults)
    assert {"checkpoint", "log.sqlite", "mirror.sqlite"} <= found
    assert agency.zhixin("ledger", "fsck").code == 0


@pytest.fixture
def follower(agency, zhixin, tmp_path):
    """A home that follows the agency's ledger and does not cosign: its copy as of now."""
    home = tmp_path / "follower.gov.example"
    fingerprint = Home.open(agency.home).trust().fingerprint
    known = ("--trust", agency.home / "trust", "--fingerprint", fingerprint)
    joined = zhixin("init", home.name, "--join", agency.home, *known)
    assert joined.code == 0, joined.err
    return type(agency)(zhixin, home)


ALTERED = {"entry": ("tile/entries", "tile"), "entry and tile": ("tile", "root")}


@pytest.mark.parametrize("altered", ALTERED)
def test_fc_41_a_mirror_keeps_its_last_good_checkpoint(agency, follower, serve_files, altered):
    """The server changes one entry on its way: in its bundle, or in bundle and tile alike."""
    place, code = ALTERED[altered]
    kept = (follower.home / "ledger" / "checkpoint").read_bytes()
    home = Home.open(agency.home)
    with home.ledger_client() as client:
        index = client.submit(contract_entry(home, 1))
        client.receipt(index)
        entry = client.entry(index)
    served = shutil.copytree(agency.home / "log", agency.home.parent / "served")
    lie = entry.replace(b'"keyid"', b'"keyiD"')
    for file in (path for path in (served / place).rglob("*") if path.is_file()):
        data = file.read_bytes().replace(entry, lie)
        file.write_bytes(data.replace(merkle.leaf_hash(entry), merkle.leaf_hash(lie)))
    follower.ledger(serve_files(served))
    with Home.open(follower.home).ledger_client() as client, pytest.raises(LedgerError) as caught:
        client.sync()
    assert caught.value.code == code, caught.value
    assert (follower.home / "ledger" / "checkpoint").read_bytes() == kept
    assert follower.zhixin("ledger", "fsck").code == 0


# FC-42: a consistency proof that does not hold.


@pytest.mark.parametrize("case", case_of("42-consistency.json"), ids=described)
def test_fc_42_a_falsified_consistency_proof_is_forked(case):
    roots = bytes.fromhex(case["root_old"]), bytes.fromhex(case["root_new"])
    given = (case["old"], case["new"], *roots, hashes(case["proof"]))
    if case["ok"]:
        merkle.verify_consistency(*given)
        return
    with pytest.raises(VerificationError) as caught:
        merkle.verify_consistency(*given)
    assert caught.value.code == "forked"


def test_fc_42_a_consumer_keeps_the_checkpoint_that_it_saw(agency, published, serve_files):
    """The server goes on from another history than the one that it showed before."""
    done = published()
    assert done.code == 0, done.err
    fork = shutil.copytree(agency.home, agency.home.parent / "fork")
    path, trust = agency.version("things"), ("--trust", agency.home / "trust")
    agency.file("things.csv", "id\n1\n2\n")
    done = published()
    assert done.code == 0, done.err
    disk = shutil.copytree(path, agency.inbox / "things-1")
    expect = ("--expect", agency.name("things@1"), "--json")

    def ask(folder):
        return agency.zhixin(
            "verify", disk, *trust, *expect, "--ledger", serve_files(folder / "log")
        )

    assert ask(agency.home).code == 0
    (seen,) = (agency.home / "seen").glob("*.checkpoint")
    before = seen.read_bytes()
    with Home.open(fork).ledger_client() as client:
        for number in range(3):  # longer than what was seen, and another
            client.submit(contract_entry(Home.open(fork), number))
        client.sync()
    told = ask(fork)
    assert (told.code, told.json["code"]) == (1, "forked")
    assert seen.read_bytes() == before


# FC-43: no node is ever doubled.


def test_fc_43_roots_are_those_of_rfc_6962():
    case = case_of("43-duplicates.json")
    data = {"empty tree": [], "one empty leaf": [b""]}
    for name, wanted in case["rfc6962"].items():
        leaves = [merkle.leaf_hash(item) for item in data.get(name, name.encode().split(b","))]
        assert merkle.root(leaves).hex() == merkle.Tree(leaves).root().hex() == wanted
    forged = case["inner node shown as a leaf"]
    with pytest.raises(VerificationError) as caught:
        merkle.verify_inclusion(
            forged["index"],
            forged["size"],
            merkle.leaf_hash(bytes.fromhex(forged["leaf data (64 bytes)"])),
            hashes(forged["path"]),
            bytes.fromhex(forged["root"]),
        )
    assert caught.value.code == "inclusion"


def test_fc_43_a_dataset_whose_last_record_stands_twice_is_another_one(agency):
    made = []
    for name, lines in (("three", "A\nB\nC\n"), ("four", "A\nB\nC\nC\n")):
        agency.file(f"{name}.csv", f"code\n{lines}")
        contract = agency.contract(name, {"code": "string"}, table=f"{name}.csv")
        assert agency.run(contract).code == 0
        made.append(agency.manifest(name))
    three, four = made
    assert (three["records"], four["records"]) == ("3", "4")
    assert three["root"] != four["root"]
    ((one,), (other,)) = three["parts"], four["parts"]
    assert one["root"] != other["root"]
    assert one["content"] == agency.content_of(['["A"]', '["B"]', '["C"]'])
    assert other["content"] == agency.content_of(['["A"]', '["B"]', '["C"]', '["C"]'])


# FC-44: canonical JSON, names by UTF-16 unit and floats as ECMAScript writes them.


def as_texts(jcs):
    """Numbers have no place in our formats: the same object with strings in their stead."""
    return re.sub(r":(\d)", r':"\1"', bytes.fromhex(jcs).decode())


def test_fc_44_names_are_ordered_by_utf_16_units():
    case = case_of("44-jcs.json")
    wanted = as_texts(case["jcs_hex"])
    value = {name: str(number) for name, number in case["object"].items()}
    assert encoding.jcs(value).decode() == wanted
    assert encoding.parse_jcs(wanted.encode(), "object") == value
    with pytest.raises(FormatError):
        encoding.parse_jcs(as_texts(case["python_sort_keys_hex_is_wrong"]).encode(), "object")


def float_texts(case):
    """The case's text of negative zero is JCS's; a record keeps the sign (formats.md, float)."""
    return ["-0" if each["hex"] == "-0x0.0p+0" else each["text"] for each in case["floats"]]


def test_fc_44_a_struct_with_these_names_and_these_floats_through_a_run(agency):
    case = case_of("44-jcs.json")
    names = {name: str(number) for name, number in case["object"].items() if name}
    floats = [float.fromhex(each["hex"]) for each in case["floats"]]
    # The case's text for negative zero is JCS's; a record keeps its sign (formats.md, float).
    wanted = [
        "-0" if each["hex"].startswith("-0x0.0p") else each["text"] for each in case["floats"]
    ]
    rows = [{"id": at, "s": names, "f": value} for at, value in enumerate(floats)]
    kind = pa.struct([(name, pa.string()) for name in reversed(names)])
    table = pa.Table.from_pylist(
        rows, pa.schema([("id", pa.int64()), ("s", kind), ("f", pa.float64())])
    )
    pq.write_table(table, agency.inbox / "things.parquet")
    agency.source("inbox", agency.inbox)
    contract = struct_contract(agency, list(reversed(names)))
    ran = agency.run(contract)
    assert ran.code == 0, ran.err
    member = json.loads(as_texts(case["jcs_hex"]))
    del member[""]
    object_text = encoding.jcs(member).decode()
    assert agency.texts("things") == [
        f'["{at}",{object_text},"{text}"]' for at, text in enumerate(wanted)
    ]
    assert agency.contents("things") == [agency.content_of(agency.texts("things"))]
    told = agency.zhixin("verify", agency.version("things"), "--deep")
    assert told.code == 0, told.err


def struct_contract(agency, names):
    member = {
        "logicalType": "object",
        "properties": [{"name": name, "logicalType": "string"} for name in names],
    }
    fields = {"id": "integer", "s": member, "f": "float"}
    return agency.contract("things", fields, table="things.parquet", key=("id",))


def test_fc_44_a_member_without_a_name_is_refused(agency):
    """The case's object has one; a record's may not (formats.md: names are not empty)."""
    told = agency.zhixin("contract", "lint", struct_contract(agency, ["a", ""]))
    assert told.code == 1
    assert "name" in told.out


def test_fc_44_floats_of_a_text_source_have_the_same_texts(agency):
    case = case_of("44-jcs.json")
    lines = [repr(float.fromhex(each["hex"])) for each in case["floats"]]
    agency.file("floats.csv", "id,f\n" + "".join(f"{at},{x}\n" for at, x in enumerate(lines)))
    contract = agency.contract(
        "floats", {"id": "integer", "f": "float"}, table="floats.csv", key=("id",)
    )
    assert agency.run(contract).code == 0
    wanted = [
        each["text"] if lines[at] != "-0.0" else "-0" for at, each in enumerate(case["floats"])
    ]
    assert [row[1] for row in agency.rows("floats")] == wanted


# FC-45: a doubled key, or one in another case: two readers, two contents.

LINES = (FILES / "45-duplicate-keys.jsonl").read_bytes().rstrip(b"\n").split(b"\n")


def version_of(line):
    (text,) = encoding.members(encoding.parse_jcs(line, "file"), "file", ("version",))
    return encoding.parse_uint(text, "version")


def test_fc_45_only_the_last_line_is_in_the_form():
    *bad, good = LINES
    assert version_of(good) == 1
    for line in bad:
        with pytest.raises(FormatError) as caught:
            version_of(line)
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("mark", "members", "good"),
    [
        # What stands before the object (a byte order mark), its members, and whether it is good.
        pytest.param(*line.split(b"{"), line == LINES[-1], id=ascii(line)[2:-1])
        for line in LINES
    ],
)
def test_fc_45_so_is_every_file_that_a_consumer_takes(agency, published, mark, members, good):
    """The line's members in place of `version` in manifest, statement and standing."""
    members = members.removesuffix(b"}")
    done = published()
    assert done.code == 0, done.err
    path, trust = agency.version("things"), agency.home / "trust"
    standing = path.parent / "1.standing.json"
    assert agency.zhixin("standing", agency.name("things"), standing).code == 0

    def verify():
        return agency.zhixin(
            "verify", path, "--trust", trust, "--standing", standing, "--json"
        ).json

    assert verify()["ok"]
    statement = json.loads((path / "statement.json").read_bytes())
    payload = base64.b64decode(statement["payload"])
    for file, data, wrap in (
        (path / "manifest.json", (path / "manifest.json").read_bytes(), bytes),
        (standing, standing.read_bytes(), bytes),
        (path / "statement.json", payload, lambda data: with_payload(statement, data)),
    ):
        whole = file.read_bytes()
        assert b'"version":"1"' in data
        file.write_bytes(wrap(mark + data.replace(b'"version":"1"', members, 1)))
        told = verify()
        assert (told["ok"], told.get("code")) == ((True, None) if good else (False, "malformed")), (
            file.name
        )
        file.write_bytes(whole)


def with_payload(statement, payload):
    return encoding.jcs({**statement, "payload": base64.b64encode(payload).decode()})


# FC-46: many texts, one signature.


def aliases(case):
    return [*case["same_bytes_other_text"], *(v for k, v in case.items() if isinstance(v, str))]


def test_fc_46_a_reader_takes_the_canonical_text_alone():
    case = case_of("46-base64.json")
    canonical = case.pop("canonical")
    assert encoding.b64(encoding.unb64(canonical, "signature", 64)) == canonical
    for text in aliases(case):
        with pytest.raises(FormatError):
            encoding.unb64(text, "signature", 64)


def test_fc_46_admission_takes_the_url_safe_text_and_no_other():
    case = case_of("46-base64.json")
    entry = json.loads(dsse.sign_envelope(b"x", [MemorySigner(bytes(32))]))

    def with_signature(text):
        (signature,) = entry["signatures"]
        return encoding.jcs({**entry, "signatures": [{**signature, "sig": text}]})

    good = with_signature(case.pop("canonical"))
    assert dsse.parse_envelope(good)
    assert dsse.normalise_envelope(good) == good
    url_safe = case["url_safe"]
    assert dsse.normalise_envelope(with_signature(url_safe)) == good
    with pytest.raises(FormatError):
        dsse.parse_envelope(with_signature(url_safe))
    for text in {*aliases(case), url_safe.replace("-", "+", 1)} - {url_safe}:
        for read in (dsse.parse_envelope, dsse.normalise_envelope):
            with pytest.raises(FormatError):
                read(with_signature(text))


def alias_of(text, kind):
    """The signature's own text in one of the case's other forms."""
    match kind:
        case "bits":
            letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            at = len(text.rstrip("=")) - 1
            return text[:at] + letters[letters.index(text[at]) + 1] + text[at + 1 :]
        case "without_padding":
            return text.rstrip("=")
        case "url_safe":
            return text.replace("+", "-").replace("/", "_")
        case "line_broken":
            return f"{text[:40]}\\n{text[40:]}"
        case "leading_space":
            return f" {text}"
        case "doubled_padding":
            return f"{text}=="
    raise AssertionError(kind)


KINDS = (
    *("bits", "without_padding", "url_safe"),
    *("line_broken", "leading_space", "doubled_padding"),
)


def signed_with(home, mark):
    """An envelope whose signature has `+` or `/` in its text, so that each alias is another one."""
    for number in count(mark):
        data = contract_entry(home, number)
        sig = json.loads(data)["signatures"][0]["sig"]
        if set("+/") & set(sig):
            return data, sig
    raise AssertionError


@pytest.mark.parametrize("kind", KINDS)
def test_fc_46_the_gate_refuses_the_others(agency, published, kind):
    done = published()
    assert done.code == 0, done.err
    path = agency.version("things")
    statement, receipt = path / "statement.json", path / "receipt.tlog-proof"
    sig = json.loads(statement.read_bytes())["signatures"][0]["sig"]
    line = next(text for text in receipt.read_text().splitlines() if text.startswith("— "))
    noted = line.rpartition(" ")[2]
    for file, text in ((statement, sig), (receipt, noted)):
        whole = file.read_text()
        other = alias_of(text, kind).replace("\\n", "\n" if file == receipt else "\\n")
        if other == text:
            continue  # this one has no letter that the URL-safe form writes otherwise
        file.write_text(whole.replace(text, other))
        told = agency.zhixin("verify", path, "--json")
        assert (told.code, told.json["code"]) == (1, "malformed"), file.name
        file.write_text(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_fc_46_admission_takes_no_alias_as_another_entry(agency, kind):
    home = Home.open(agency.home)
    data, sig = signed_with(home, 1)
    other = data.replace(sig.encode(), alias_of(sig, kind).encode())
    assert other != data
    with home.ledger_client() as client:
        index = client.submit(data)
        size = client.sync().size
        if kind == "url_safe":
            assert client.submit(other) == index
        else:
            with pytest.raises(LedgerRefused) as caught:
                client.submit(other)
            assert caught.value.code == "malformed"
        assert client.sync().size == size
        fresh, sig = signed_with(home, 1_000_000)  # not known yet: the same verdicts
        other = fresh.replace(sig.encode(), alias_of(sig, kind).encode())
        if kind == "url_safe":
            index = client.submit(other)
            client.sync()
            assert client.entry(index) == fresh
        else:
            with pytest.raises(LedgerRefused):
                client.submit(other)


# FC-47: several machines, one state, whatever their hash seeds, languages and zones.

COUNCIL = tuple(f"{letter}.gov.example" for letter in "abcd")
PLACES = (
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "Asia/Shanghai"},
    {"PYTHONHASHSEED": "424242", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns"},
    {"PYTHONHASHSEED": "random", "LC_ALL": "zh_CN.GB18030", "TZ": "Pacific/Kiritimati"},
)
VALID, REFUSED, THREADS = 300, 100, 8


def free_ports(number):
    with ExitStack() as stack:
        probes = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)
        ]
        return [probe.getsockname()[1] for probe in probes]


class Council:
    """Four members, each with processes of its own in an environment of its own."""

    def __init__(self, members, folder):
        self.members, self.folder = members(*COUNCIL), folder
        self.ports = free_ports(5)
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        witnesses = tuple(map(WitnessSetting, COUNCIL, self.urls[1:]))
        for member in self.members:
            home = Home.open(member.home)
            filed = replace(home.filed_settings(), ledger_url=self.urls[0], witnesses=witnesses)
            home.save(filed)
        self.running = {}

    def start(self, number):
        """0: the log of the first member; from 1: the members' witnesses."""
        at = max(number - 1, 0)
        what = "witness" if number else "ledger"
        with (self.folder / f"{number}.log").open("ab") as told:
            self.running[number] = self.members[at].process(
                *(what, "serve", "--no-access-log", "--port", self.ports[number]),
                env={**os.environ, **PLACES[at]}, stdout=told, stderr=told,
            )  # fmt: skip

    def kill(self, number):
        self.running[number].kill()
        self.running.pop(number).wait(30)

    def status(self, number):
        try:
            return httpx.get(f"{self.urls[number]}/status", timeout=5).json()
        except httpx.HTTPError:
            return {}

    def __enter__(self):
        for number in range(5):
            self.start(number)
        assert self.soon(lambda: all(self.status(number) for number in range(5)))
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)

    def soon(self, holds, seconds=90):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if holds():
                return True
            time.sleep(0.05)
        return False

    def says(self, at, home, refused):
        """What a copy says, in an environment."""
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("judge_copy.py"), home, refused],
            env={**os.environ, **PLACES[at]}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def stream(homes):
    """Valid entries, and refused ones of seven kinds, whose refusal depends on no other entry."""
    origin = homes[0].trust().origin
    signers = [home.signer() for home in homes]
    stranger = MemorySigner(b"\x47" * 32)

    def made(number, signer, origin=origin, dataset=None, version="1.0.0"):
        dataset = dataset or f"{COUNCIL[number % 4]}/d{number}"
        payload = contract_statement(origin, dataset, version, f"{number:064x}")
        return dsse.sign_envelope(payload, [signer])

    def dataset(number, version, previous):
        payload = dataset_statement(
            origin, f"{COUNCIL[number % 4]}/e{number}", version, root_hex="a0" * 32,
            contract=("1.0.0", "c0" * 32), previous_hex=previous, inputs=(),
            manifest_sha256_hex=f"{number:064x}",
        )  # fmt: skip
        return dsse.sign_envelope(payload, [signers[number % 4]])

    def withdrawal(number):
        payload = withdrawal_statement(
            origin, f"{COUNCIL[number % 4]}/e{number}", 1, reason="error",
            manifest_sha256_hex=f"{number:064x}",
        )  # fmt: skip
        return dsse.sign_envelope(payload, [signers[number % 4]])

    valid = [made(number, signers[number % 4]) for number in range(VALID)]
    kinds = (
        lambda n: made(n, signers[(n + 1) % 4]),  # another member's dataset
        lambda n: made(n, stranger),
        lambda n: made(n, signers[n % 4], origin="ledger.gov.example/other"),
        lambda n: dataset(n, 1, None),  # no such contract
        lambda n: dataset(n, 2, "00" * 32),  # no version before it
        withdrawal,  # of what was never published
        lambda n: made(n, signers[n % 4])[:-1],
    )
    refused = [kinds[number % len(kinds)](VALID + number) for number in range(REFUSED)]
    return valid, refused


def send_all(url, entries):
    """From several threads at once, without pause; gives the answers in the entries' order."""

    def send(share):
        log = HttpLog(url)
        try:
            return [sent(log, data) for data in share]
        finally:
            log.close()

    def sent(log, data):
        for _ in range(100):
            try:
                return log.submit(data)
            except LedgerUnavailable:
                time.sleep(0.1)
            except LedgerRefused as refusal:
                return refusal.code
        raise AssertionError("the ledger did not come back")

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(send, (entries[at::THREADS] for at in range(THREADS))))
    return [parts[at % THREADS][at // THREADS] for at in range(len(entries))]


@pytest.mark.slow
def test_fc_47_four_members_come_to_one_state_while_one_is_killed_again_and_again(
    members, zhixin, tmp_path
):
    with Council(members, tmp_path) as council:
        homes = [Home.open(member.home) for member in council.members]
        valid, refused = stream(homes)
        entries = [*valid, *refused]
        random.Random(47).shuffle(entries)
        third, answers = -(-len(entries) // 3), {}

        def kill(number):
            council.kill(number)
            time.sleep(0.2)
            council.start(number)
            council.soon(lambda: council.status(number))

        for at, number in enumerate([0, 4, 3]):  # the log itself, and two witnesses
            lot = entries[at * third : (at + 1) * third]
            killer = threading.Thread(target=kill, args=(number,))
            killer.start()  # in the midst of the lot, however fast it is sent
            answers |= dict(zip(lot, send_all(council.urls[0], lot), strict=True))
            killer.join(60)
            assert not killer.is_alive()
        assert len({answers[data] for data in valid}) == VALID
        names = [answers[data] for data in refused]
        assert all(isinstance(name, str) for name in names)
        assert all(names[at] == names[at % 7] for at in range(REFUSED)), "one kind, one name"
        assert len(set(names[:7])) >= 6

        assert council.soon(lambda: council.status(0).get("published", 0) > VALID)
        size = council.status(0)["size"]
        assert council.soon(
            lambda: all(council.status(number).get("size") == size for number in range(1, 5))
        ), [council.status(number) for number in range(5)]

        fifth = tmp_path / "e.gov.example"
        known = (
            "--trust",
            homes[1].trust_dir,
            "--fingerprint",
            homes[1].pinned_trust().fingerprint,
        )
        joined = zhixin("init", fifth.name, "--join", council.urls[0], *known)
        assert joined.code == 0, joined.err
        file = tmp_path / "refused.json"
        file.write_text(json.dumps([base64.b64encode(data).decode() for data in refused]))
        told = [council.says(at, home.path, file) for at, home in enumerate(homes)]
        told.append(council.says(1, fifth, file))
        assert told[0]["refusals"] == names
        assert all(each == told[0] for each in told[1:])
        assert told[0]["size"] == size
