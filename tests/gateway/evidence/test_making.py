"""A home makes evidence of what it published or fetched, and renews it; the command tells whom."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from zhixin_gateway import pipeline
from zhixin_gateway.cli import main
from zhixin_gateway.datasets.directory import version_path
from zhixin_gateway.evidence import archive, verify
from zhixin_gateway.evidence.making import make_evidence, renew_evidence
from zhixin_gateway.gate.prove import prove_record
from zhixin_gateway.withdrawing import withdraw

STOPS = "bts.gov.example/stops"
ROWS = [("2024-01-02", "B", 10, "JFK"), ("2024-01-02", "A", 0, None)]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def published(world):
    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    return world


def run(capsys, *arguments):
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def judged(capsys, *arguments):
    code = verify.main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_makes_a_bundle_and_says_the_fingerprint(published, tmp_path, capsys):
    out = tmp_path / "stops.zip"
    code, told, hint = run(capsys, "evidence", f"{STOPS}@1", out, "--home", published.owner.path)
    assert (code, told) == (0, f"{out}\n")
    fingerprint = hint.split("--fingerprint ")[1].strip()
    code, answer = judged(capsys, out, "--fingerprint", fingerprint)
    assert (code, answer["ok"], answer["dataset"]) == (0, True, STOPS)
    assert answer["ledger_fingerprint"] == fingerprint
    home = ["--home", published.other.path]  # another member tells the same
    assert run(capsys, "evidence", "fingerprint", *home)[1] == f"{fingerprint}\n"
    told = json.loads(run(capsys, "evidence", "fingerprint", *home, "--json")[1])
    assert told["ledger_fingerprint"] == fingerprint
    with zipfile.ZipFile(out) as bundle:
        assert bundle.testzip() is None
        assert bundle.read("FORMATS.md") == (ROOT / "docs" / "formats.md").read_bytes()
        assert fingerprint in bundle.read("README.txt").decode()
    code, _, hint = run(capsys, "evidence", f"{STOPS}@1", out, "--home", published.owner.path)
    assert code == 2
    assert "is there already" in hint


def test_the_other_member_fetches_what_it_bears_witness_of(published, tmp_path, capsys):
    made = make_evidence(published.other, STOPS, 1)
    again = make_evidence(published.other, STOPS, 1)
    assert made.data == again.data
    out = tmp_path / "stops.zip"
    out.write_bytes(made.data)
    code, answer = judged(capsys, out, "--trust", published.owner.trust_dir)
    assert (code, answer["code"]) == (0, None)


def test_dataset_and_record_are_held_to_the_bundle(published, tmp_path, capsys):
    out = tmp_path / "stops.zip"
    out.write_bytes(make_evidence(published.owner, STOPS, 1).data)
    folder = version_path(published.owner.store, STOPS, 1)
    proof = tmp_path / "proof.json"
    proof.write_bytes(prove_record(folder, published.owner.trust(), where="line = 'B'"))
    code, answer = judged(capsys, out, "--dataset", folder, "--record", proof)
    assert code == 0
    assert (answer["records"], answer["record"]["seats"]) == (2, "10")
    proof.write_bytes(proof.read_bytes().replace(b'"10"', b'"11"'))
    assert judged(capsys, out, "--record", proof)[1]["code"] == "record"
    (folder / "part-00000.parquet").write_bytes(b"PAR1")
    assert judged(capsys, out, "--dataset", folder)[1]["code"] == "part-digest"
    (folder / "part-00000.parquet").unlink()
    assert judged(capsys, out, "--dataset", folder)[1]["code"] == "part-missing"


def test_another_version_is_not_what_the_bundle_is_about(published, tmp_path, capsys):
    out = tmp_path / "stops.zip"
    out.write_bytes(make_evidence(published.owner, STOPS, 1).data)
    pipeline.run(published.owner, published.stops(), force=True)
    folder = version_path(published.owner.store, STOPS, 2)
    assert judged(capsys, out, "--dataset", folder)[1]["code"] == "unexpected"


def test_a_renewed_bundle_tells_of_a_later_withdrawal(published, tmp_path, capsys):
    out = tmp_path / "stops.zip"
    out.write_bytes(make_evidence(published.owner, STOPS, 1).data)
    withdraw(published.owner, STOPS, 1, "error")
    code, told, _ = run(capsys, "evidence", "renew", out, "--home", published.other.path, "--json")
    assert code == 0
    assert json.loads(told)["standing"]["withdrawn"] == [1]
    assert "renewals/0001/standing.json" in archive.read_bundle(out)
    assert judged(capsys, out)[1]["code"] == "withdrawn"
    assert judged(capsys, out, "--even-withdrawn")[0] == 0
    # Evidence of a withdrawn version can still be made, and says so.
    assert any("is withdrawn" in one for one in make_evidence(published.owner, STOPS, 1).warnings)
    pipeline.run(published.owner, published.stops(), force=True)
    out.write_bytes(renew_evidence(published.owner, out).data)
    assert verify.check_names(list(archive.read_bundle(out))) == 2
    assert judged(capsys, out, "--even-withdrawn")[1]["standing"]["latest"] == 2


def test_a_broken_bundle_is_not_renewed(published, tmp_path, capsys):
    out = tmp_path / "stops.zip"
    made = make_evidence(published.owner, STOPS, 1).data
    out.write_bytes(made)
    files = archive.read_bundle(out)
    statement = files["statement.json"]
    other = b"B" if statement[-10:-9] == b"A" else b"A"
    files["statement.json"] = statement[:-10] + other + statement[-9:]
    out.write_bytes(archive.format_bundle(files))
    code, _, told = run(capsys, "evidence", "renew", out, "--home", published.owner.path)
    assert code == 1
    assert "the evidence does not hold" in told
    out.write_bytes(b"no archive")
    assert run(capsys, "evidence", "renew", out, "--home", published.owner.path)[0] == 1
    assert run(capsys, "evidence", "renew", tmp_path / "x", "--home", published.owner.path)[0] == 2
    assert run(capsys, "evidence", STOPS, tmp_path / "y", "--home", published.owner.path)[0] == 2


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """A virtual environment with `cryptography`, as requirements/test.txt pins it, and no more."""
    folder = tmp_path_factory.mktemp("bare")
    blocks = (ROOT / "requirements" / "test.txt").read_text().replace("\\\n", " ").splitlines()
    wanted = [
        line for line in blocks if line.startswith(("cryptography==", "cffi==", "pycparser=="))
    ]
    pins = folder / "pins.txt"
    pins.write_text("\n".join(wanted) + "\n")
    env = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True, timeout=60)
    python = env / "bin" / "python"
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    subprocess.run(
        [uv, "pip", "install", "-q", "--require-hashes", "--python", python, "-r", pins],
        check=True,
        timeout=300,
    )
    return python


def bare(python, *arguments):
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python, *map(str, arguments), "--json"],
        env=clean, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_a_bare_environment_takes_every_dataset_of_the_demo(demo, bare_python, tmp_path, capsys):
    folder, _ = demo
    auditor = folder / "ntsb.gov.example"
    versions = sorted(path.parent for path in folder.glob("*/store/*/*/*/statement.json"))
    names = {f"{path.parts[-3]}/{path.parts[-2]}@{path.parts[-1]}": path for path in versions}
    assert len(names) >= 6
    for at, (name, path) in enumerate(names.items()):
        out, unpacked = tmp_path / f"{at}.zip", tmp_path / str(at)
        code, told, _ = run(capsys, "evidence", name, out, "--home", auditor, "--json")
        assert code == 0
        fingerprint = json.loads(told)["ledger_fingerprint"]
        with zipfile.ZipFile(out) as bundle:
            bundle.extractall(unpacked)
        ask = [unpacked / "verify.py", out, "--fingerprint", fingerprint, "--even-withdrawn"]
        code, answer = bare(bare_python, *ask, "--dataset", path)
        assert (code, f"{answer['dataset']}@{answer['version']}") == (0, name)
        assert [row["name"] for row in answer["checks"] if row["status"] == "skipped"] == ["record"]
        for mutated in sorted({*verify.LIMITS} - {"README.txt", "FORMATS.md", "verify.py"}):
            data = (unpacked / mutated).read_bytes()
            middle = len(data) // 2
            changed = bytes([data[middle] ^ 1])
            (unpacked / mutated).write_bytes(data[:middle] + changed + data[middle + 1 :])
            if at == 0:
                code, answer = bare(bare_python, unpacked / "verify.py", unpacked)
                assert (code, answer["ok"]) == (1, False), mutated
            else:
                assert verify.main([str(unpacked), "--even-withdrawn"]) == 1, mutated
                capsys.readouterr()
            (unpacked / mutated).write_bytes(data)
        assert verify.main([str(unpacked), "--even-withdrawn"]) == 0
        capsys.readouterr()
