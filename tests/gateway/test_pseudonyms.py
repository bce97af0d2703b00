"""Keys of pseudonyms: made once, for their owner's eyes, never replaced, kept by a backup."""

import hmac
import stat
import subprocess
import sys
import tarfile

import pytest
from zhixin_errors import ConfigError
from zhixin_gateway import pseudonyms
from zhixin_gateway.backups.making import make_backup
from zhixin_gateway.home import create_home

CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: a.example/people
version: 1.0.0
status: active
name: People
servers: [{server: silo, type: custom}]
schema:
  - name: people
    physicalName: people
    properties:
      - name: number
        logicalType: integer
        customProperties: [{property: zhixin.treatment, value: {pseudonym: citizen}}]
      - {name: town, logicalType: string}
"""


@pytest.fixture
def home(tmp_path):
    return create_home(tmp_path / "a.example", "a.example")


def test_a_key_is_made_once_and_for_its_owner_alone(home):
    path = pseudonyms.make_key(home, "citizen")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = pseudonyms.load_key(home, "citizen")
    assert len(key) == 32
    with pytest.raises(ConfigError, match="has a key citizen already"):
        pseudonyms.make_key(home, "citizen")
    assert pseudonyms.load_key(home, "citizen") == key
    assert pseudonyms.key_names(home) == ["citizen"]
    assert [p.name for p in home.keys_dir.glob(".*")] == []


@pytest.mark.parametrize("name", ["", "Citizen", "../statement", "1a", "a" * 64])
def test_a_name_is_not_a_path(home, name):
    with pytest.raises(ConfigError, match="is no name of a key"):
        pseudonyms.make_key(home, name)


def test_a_key_that_is_missing_open_or_damaged_is_refused_with_the_way_out(home):
    with pytest.raises(ConfigError, match="this home has no key citizen") as missing:
        pseudonyms.load_key(home, "citizen")
    assert missing.value.code == "pseudonym-key"
    assert "zhixin pseudonym make citizen" in missing.value.hint
    path = pseudonyms.make_key(home, "citizen")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="is open to others") as shown:
        pseudonyms.load_key(home, "citizen")
    assert shown.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    path.write_text("0" * 63)
    with pytest.raises(ConfigError, match="no pseudonym key"):
        pseudonyms.load_key(home, "citizen")


def test_two_members_with_one_key_give_one_pseudonym(home, tmp_path):
    other = create_home(tmp_path / "b.example", "b.example")
    pseudonyms.make_key(home, "citizen")
    file = tmp_path / "citizen.key"
    pseudonyms.export_key(home, "citizen", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="is there already"):
        pseudonyms.export_key(home, "citizen", file)
    pseudonyms.import_key(other, "people", file)
    pseudonyms.import_key(other, "people", file)  # the same again is no fault
    keys = pseudonyms.load_key(home, "citizen"), pseudonyms.load_key(other, "people")
    assert pseudonyms.pseudonym(keys[0], "7") == pseudonyms.pseudonym(keys[1], "7")
    pseudonyms.make_key(other, "citizen")
    with pytest.raises(ConfigError, match="never replaced"):
        pseudonyms.import_key(other, "citizen", file)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="is open to others"):
        pseudonyms.import_key(other, "third", file)


def test_a_backup_keeps_the_keys(home, tmp_path):
    pseudonyms.make_key(home, "citizen")
    make_backup(home, tmp_path / "backup.tar")
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert "keys/pseudonym-citizen" in archive.getnames()
    make_backup(home, tmp_path / "without.tar", keys=False)
    with tarfile.open(tmp_path / "without.tar") as archive:
        assert "keys/pseudonym-citizen" not in archive.getnames()


def of(home, contract, field, given):
    return subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", "--home", home.path, "pseudonym", "of",
         contract, field],
        input=given, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_pseudonym_of_a_value_is_that_of_a_run(home, tmp_path):
    contract = tmp_path / "people.odcs.yaml"
    contract.write_text(CONTRACT)
    assert b"has no key citizen" in of(home, contract, "number", b"7\n").stderr
    pseudonyms.make_key(home, "citizen")
    key = pseudonyms.load_key(home, "citizen")
    done = of(home, contract, "number", b"007\r\n-5\n7")
    assert done.stdout.decode().split() == [
        hmac.new(key, text, "sha256").hexdigest() for text in (b"7", b"-5", b"7")
    ]
    wrong = of(home, contract, "number", b"7\nSECRET\n")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"line 2 of standard input is no value of number" in wrong.stderr
    assert b"SECRET" not in wrong.stderr
    other = of(home, contract, "town", b"x")
    assert b"town is no field with a pseudonym; there is number" in other.stderr
    text = CONTRACT.replace("logicalType: integer", "logicalType: date")
    form = "customProperties: [{property: zhixin.dateFormat, value: dd/MM/yyyy}]"
    contract.write_text(text.replace("type: custom}", f"type: custom, {form}}}"))
    born = of(home, contract, "number", b"31/12/1949\n")
    assert born.stdout.decode().split() == [hmac.new(key, b"1949-12-31", "sha256").hexdigest()]
