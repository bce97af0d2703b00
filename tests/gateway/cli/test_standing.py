"""A version on a disk, with its standing beside it: verified where there is no network."""

import shutil

import pytest
from zhixin_gateway.cli.gate_options import GateOptions, gate_options

THINGS = "agency.example/things"


@pytest.fixture
def disk(zhixin, published, tmp_path):
    """A disk with a version and its standing, and the trust; the working folder is no home."""
    answer = zhixin("get", THINGS, tmp_path / "disk", "--json", home=published)
    assert answer.code == 0, answer.err
    assert answer.json["standings"] == [str(tmp_path / "disk" / THINGS / "1.standing.json")]
    shutil.copytree(published / "trust", tmp_path / "disk" / "trust")
    return tmp_path / "disk"


def verify(zhixin, disk, *options):
    return zhixin("verify", disk / THINGS / "1", "--trust", disk / "trust", *options)


def test_the_file_beside_is_found_and_told_of_with_its_time(zhixin, disk):
    answer = verify(zhixin, disk, "--require-standing")
    assert answer.code == 0, answer.err
    assert "the standing file 1.standing.json beside it, as of 20" in answer.err
    assert "--max-age" in answer.err
    answer = verify(zhixin, disk, "--max-age", "1h", "--json")
    assert answer.json["checks"][-1] == {"name": "standing", "status": "passed"}
    assert "--max-age" not in answer.err
    (disk / THINGS / "1.standing.json").unlink()
    answer = verify(zhixin, disk, "--require-standing")
    assert (answer.code, "REFUSED stale" in answer.out) == (1, True)


def test_an_old_file_beside_is_refused_by_max_age_and_a_bad_one_always(zhixin, disk):
    import time

    time.sleep(1.1)
    answer = verify(zhixin, disk, "--max-age", "0")
    assert answer.code == 1
    assert "REFUSED stale" in answer.out
    (disk / THINGS / "1.standing.json").write_bytes(b"{}")
    assert "REFUSED malformed" in verify(zhixin, disk).out


def test_a_later_get_tells_of_a_withdrawal_also_offline(zhixin, published, disk):
    assert zhixin("withdraw", f"{THINGS}@1", "--reason", "error", home=published).code == 0
    assert verify(zhixin, disk).code == 0  # the file is of before
    answer = zhixin("get", f"{THINGS}@1", disk, home=published)
    assert (answer.code, "withdrawn" in answer.err) == (1, True)
    assert "REFUSED withdrawn" in verify(zhixin, disk).out


def test_cat_wants_to_know_how_old_a_file_beside_may_be(zhixin, disk):
    path = disk / THINGS / "1"
    trust = ("--trust", disk / "trust")
    answer = zhixin("cat", path, *trust)
    assert (answer.code, answer.out) == (1, "")
    assert "1.standing.json lies beside it" in answer.err
    answer = zhixin("cat", path, *trust, "--max-age", "1h")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("id,day")
    answer = zhixin("cat", path, *trust, "--standing", disk / THINGS / "1.standing.json")
    assert answer.code == 0, answer.err


def test_a_record_is_proved_by_the_file_beside_and_checked_by_a_ledgers_url(
    zhixin, published, disk, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(disk / "state"))
    trust, proof = ("--trust", disk / "trust"), disk / "proof.json"
    where = ("--where", "id = 2", "--out", proof)
    answer = zhixin("prove", disk / THINGS / "1", *trust, *where, "--require-standing")
    assert answer.code == 0, answer.err
    asked = ("--ledger", f"file:{published}", "--require-standing")
    answer = zhixin("verify-record", proof, *trust, *asked)
    assert answer.code == 0, answer.err
    assert (disk / "state" / "zhixin" / "seen").is_dir()
    assert zhixin("withdraw", f"{THINGS}@1", "--reason", "error", home=published).code == 0
    assert "REFUSED withdrawn" in zhixin("verify-record", proof, *trust, *asked).out
    assert "REFUSED withdrawn" in verify(zhixin, disk, *asked).out
    answer = zhixin("cat", disk / THINGS / "1", *trust, *asked[:2])
    assert (answer.code, answer.out) == (1, "")
    assert "error (withdrawn)" in answer.err


def test_a_ledger_that_is_not_reached_is_no_verdict(zhixin, disk):
    answer = verify(zhixin, disk, "--ledger", "http://127.0.0.1:9", "--json")
    assert (answer.code, answer.json["error"]["code"]) == (3, "ledger-unavailable")
    assert verify(zhixin, disk, "--ledger", "ftp://nowhere").code == 2


def test_standing_is_written_for_a_dataset(zhixin, published, disk):
    answer = zhixin("standing", THINGS, home=published)
    assert answer.out == (disk / THINGS / "1.standing.json").read_text()
    out = disk / "things.json"
    assert zhixin("standing", THINGS, out, home=published).code == 0
    assert verify(zhixin, disk, "--standing", out).code == 0
    assert zhixin("standing", f"{THINGS}@1", home=published).code == 2
    assert zhixin("standing", "agency.example/nothing", home=published).code == 1


def test_a_home_trips_over_no_file_beside(zhixin, published):
    assert zhixin("get", THINGS, home=published).code == 0
    assert (published / "store" / THINGS / "1.standing.json").is_file()
    assert zhixin("ls", "--json", home=published).json["datasets"][0]["here"] == [1]
    answer = zhixin("run", published / "contracts/things.odcs.yaml", "--json", home=published)
    assert answer.json["version"] is None
    assert zhixin("status", home=published).code == 0


def test_a_command_takes_what_it_has(zhixin):
    @gate_options(without=["trust_dir", "standings"])
    def command(*, judged):
        return judged

    names = [option.name for option in command.__click_params__]
    assert "max_age" in names
    assert "trust_dir" not in names
    assert GateOptions().trust_dir is None
