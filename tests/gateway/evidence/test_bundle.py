"""A bundle holds whole, and not otherwise: every byte that is signed for is found when it flips."""

import io
import json
import tracemalloc
import zipfile
from datetime import timedelta

import pytest
from zhixin_gateway.evidence import archive, verify
from zhixin_ledger import encoding
from zhixin_ledger.trust import trust_of

UNSIGNED = ("README.txt", "FORMATS.md", "verify.py")


def test_a_bundle_holds_and_says_what_it_proves_and_what_not(made, judge, ask):
    _, files = made
    code, report = judge(files)
    assert code is None
    assert report.found["dataset"] == "bts.gov.example/flights"
    assert report.found["standing"]["latest"] == 2
    assert [row for row in report.rows if row[2] != "passed"] == [("bundle", "trust", "skipped")]
    status, told = ask(files)
    assert status == 0
    assert "NO KEY WAS COMPARED" in told
    assert "NOT PROVED\n  - that what the owner stated is true" in told
    assert told.endswith("HOLDS bts.gov.example/flights@1\n")


@pytest.mark.slow
def test_every_flipped_byte_is_refused_but_of_what_nobody_signs(small, judge):
    passed = dict.fromkeys(small, 0)
    for name, data in small.items():
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 1 << at % 8
            code, _ = judge({**small, name: bytes(flipped)})
            assert code != "internal"
            passed[name] += code is None
    assert {name for name, count in passed.items() if count} == set(UNSIGNED)
    assert all(passed[name] == len(small[name]) for name in UNSIGNED)


@pytest.mark.parametrize("name", ["governance.json", "standing.json", "receipt.tlog-proof"])
def test_flipped_bytes_of_a_bundle_of_many_keys_are_refused(name, renewed, judge):
    _, files = renewed
    place = f"renewals/0002/{name}"
    for at in range(0, len(files[place]), 101):
        flipped = bytearray(files[place])
        flipped[at] ^= 1 << at % 8
        assert judge({**files, place: bytes(flipped)})[0] is not None, at


SAME_EVERYWHERE = {*UNSIGNED, "contract.yaml", "evidence.json"}


@pytest.mark.parametrize("name", sorted({*verify.LIMITS} - SAME_EVERYWHERE))
def test_a_file_of_another_ledger_of_the_same_names_is_refused(name, made, foreign, judge):
    _, files = made
    assert judge(foreign)[0] is None
    assert judge({**files, name: foreign[name]})[0] is not None


def test_a_file_too_few_or_too_many_is_refused(made, judge):
    _, files = made
    for name in files:
        rest = {other: files[other] for other in files if other != name}
        with pytest.raises(verify.Refused) as caught:
            verify.read_archive(written(rest, made[0].folder))
        assert caught.value.code == "part-missing"
    for name in (
        "other.txt",
        "manifest.json",
        "renewals/0002/standing.json",
        "../x",
        "trust/",
        "A",
    ):
        with pytest.raises(verify.Refused):
            verify.read_archive(written({**files, name: b""}, made[0].folder))


def written(files, folder):
    folder.mkdir(exist_ok=True)
    path = folder / "bundle.zip"
    path.write_bytes(archive.format_bundle(files))
    return path


def test_an_archive_that_plays_tricks_is_refused(made, tmp_path):
    _, files = made
    whole = archive.format_bundle(files)

    def refused(data):
        path = tmp_path / "tricky.zip"
        path.write_bytes(data)
        with pytest.raises(verify.Refused) as caught:
            verify.read_archive(path)
        return caught.value.code

    assert refused(b"") == refused(b"PK\5\6") == refused(whole[: len(whole) // 2]) == "malformed"
    out = io.BytesIO(whole)
    with zipfile.ZipFile(out, "a") as again, pytest.warns(UserWarning, match="Duplicate"):
        again.writestr("statement.json", files["statement.json"])
    assert refused(out.getvalue()) == "malformed"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, data in files.items():
            bomb.writestr(name, b"\0" * (30 << 20) if name == "README.txt" else data)
    assert len(out.getvalue()) < 1 << 20
    assert refused(out.getvalue()) == "malformed"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as linked:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if name == "README.txt" else 0o100644) << 16
            linked.writestr(entry, data)
    assert refused(out.getvalue()) == "malformed"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_more_is_unpacked_than_is_read(made, tmp_path, method):
    """Python's zipfile unpacks all that these methods hold before it cuts off what it gives."""
    _, files = made
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, data in files.items():
            if name != "README.txt":
                bomb.writestr(name, data)
        bomb.writestr("README.txt", b"\0" * (64 << 20), method)
    made_up = out.getvalue().replace((64 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    (tmp_path / "bomb.zip").write_bytes(made_up)
    tracemalloc.start()
    try:
        with pytest.raises(verify.Refused) as caught:
            verify.read_archive(tmp_path / "bomb.zip")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "malformed"
    assert most < 32 << 20


def test_an_unpacked_bundle_holds_too_and_no_link_in_it(made, tmp_path, capsys):
    _, files = made
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(io.BytesIO(archive.format_bundle(files))) as whole:
        whole.extractall(folder)
    assert verify.main([str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    for trick in ("empty", "trust/empty", "a/b/c/d"):
        (folder / trick).mkdir(parents=True)
        assert verify.main([str(folder), "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["code"] == "unlisted-file"
        for each in (folder / trick, *(folder / trick).parents):
            if each != folder and not any(each.iterdir()):
                each.rmdir()
            else:
                break
    (folder / "more").symlink_to(folder / "trust")
    assert verify.main([str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "malformed"
    (folder / "more").unlink()
    assert verify.main([str(folder), "--json"]) == 0
    capsys.readouterr()
    (folder / "README.txt").unlink()
    (folder / "README.txt").symlink_to(folder / "FORMATS.md")
    assert verify.main([str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "malformed"


def test_the_same_evidence_is_the_same_archive(made):
    _, files = made
    again = dict(reversed(files.items()))
    assert archive.format_bundle(files) == archive.format_bundle(again)


def test_whose_ledger_it_is_shows_by_either_fingerprint_or_a_pinned_trust(made, judge, ask):
    ledger, files = made
    _, report = judge(files)
    for name in ("ledger_fingerprint", "trust_fingerprint"):
        typed = report.found[name].upper().replace("-", " ")
        assert judge(files, fingerprint=typed)[1].rows[2] == ("bundle", "trust", "passed")
    assert judge(files, fingerprint="aaaa-" * 8)[0] == "trust"
    pinned = trust_of(ledger.state).to_bytes()
    assert judge(files, pinned=pinned)[0] is None
    ledger.rotate("faa.gov.example")
    later = trust_of(ledger.state).to_bytes()
    assert judge(files, pinned=later)[0] is None
    other = later.replace(encoding.b64(ledger.signers["faa.gov.example"].public_key).encode(),
                          encoding.b64(ledger.new().public_key).encode())  # fmt: skip
    assert judge(files, pinned=other)[0] == "trust"
    fork = encoding.parse_jcs(pinned, "trust")
    assert judge(files, pinned=encoding.jcs({**fork, "root": "00" * 32}))[0] == "forked"


def test_a_withdrawn_version_is_refused_unless_that_is_what_is_asked(made, judge, ask):
    ledger, files = made
    ledger.withdraw()
    renewed = ledger.renewal(files, 1)
    assert judge(files)[0] is None
    assert judge(renewed)[0] == "withdrawn"
    code, report = judge(renewed, even_withdrawn=True)
    assert code is None
    assert any("is withdrawn" in warning for warning in report.warnings)
    assert ask(renewed, "--even-withdrawn")[0] == 0


def test_the_newest_standing_alone_must_be_fresh(renewed, judge):
    ledger, files = renewed
    assert judge(files, ledger.now, max_age=timedelta(minutes=1))[0] is None
    assert judge(files, ledger.now + timedelta(hours=1), max_age=timedelta(minutes=1))[0] == "stale"


def test_what_is_asked_for_is_held_to(made, ask):
    _, files = made
    assert ask(files, "--expect", "bts.gov.example/flights@1")[0] == 0
    assert ask(files, "--expect", "bts.gov.example/flights")[0] == 0
    status, told = ask(files, "--expect", "bts.gov.example/flights@2", "--json")
    assert (status, json.loads(told)["code"]) == (1, "unexpected")


@pytest.mark.parametrize(
    "options",
    [
        ["--at", "yesterday"],
        ["--max-age", "1w"],
        ["--expect", "flights"],
        ["--dataset", "/nowhere/at/all"],
        ["--trust", "/nowhere/at/all"],
        ["--trust", "/"],
        ["--dataset", "/dev/null"],
    ],
    ids=" ".join,
)
def test_an_option_that_is_at_fault_is_no_verdict(options, made, ask):
    status, told = ask(made[1], *options)
    assert status == 2
    assert "REFUSED usage" in told


def test_whom_to_trust_is_said_once(made, ask, capsys):
    with pytest.raises(SystemExit) as caught:
        ask(made[1], "--trust", "/", "--fingerprint", "aaaa")
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
