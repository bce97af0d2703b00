"""``zhixin erase``: asked, shown, done; and what the other commands say afterwards."""

import pytest

THINGS = "agency.example/things"


@pytest.fixture
def terminal(monkeypatch):
    """Somebody sits at a terminal and types a line."""

    def types(line):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda _text: line)

    return types


def test_a_dry_run_tells_and_destroys_nothing(zhixin, published):
    answer = zhixin("erase", f"{THINGS}@1", "--dry-run", "--json", home=published)
    assert answer.code == 0, answer.err
    assert answer.json["erased"] is False
    assert str(published / "store" / THINGS / "1") in answer.json["files"]
    assert str(published / "quarantine" / THINGS / "1.parquet") in answer.json["files"]
    assert (published / "store" / THINGS / "1" / "manifest.json").is_file()
    assert zhixin("ls", "--json", home=published).json["datasets"][0]["withdrawn"] == []


def test_nobody_is_asked_where_nobody_is(zhixin, published):
    for options in ((), ("--json",)):
        answer = zhixin("erase", f"{THINGS}@1", *options, home=published)
        assert (answer.code, "--yes" in answer.err) == (2, True)
    assert (published / "store" / THINGS / "1").is_dir()


def test_the_datasets_name_is_typed(zhixin, published, terminal):
    terminal("yes")
    assert zhixin("erase", f"{THINGS}@1", home=published).code == 2
    assert (published / "store" / THINGS / "1").is_dir()
    terminal(THINGS)
    answer = zhixin("erase", f"{THINGS}@1", home=published)
    assert answer.code == 0, answer.err
    assert "no version is stated as made from it" in answer.err
    assert "docs/erasure.md" in answer.err
    assert not (published / "store" / THINGS / "1").exists()


def test_afterwards_every_command_copes(zhixin, published):
    assert zhixin("erase", f"{THINGS}@1", "--yes", "--json", home=published).json["erased"]
    listed = zhixin("ls", "--json", home=published).json["datasets"][0]
    assert (listed["here"], listed["withdrawn"], listed["standing"]) == ([], [1], None)
    status = zhixin("status", "--json", home=published)
    assert (status.code, status.json["pending"]) == (0, False)
    assert zhixin("lineage", f"{THINGS}@1", home=published).out.endswith("WITHDRAWN\n")
    assert zhixin("quarantine", "show", f"{THINGS}@1", home=published).code == 2
    for command in ("get", "cat"):
        assert zhixin(command, f"{THINGS}@1", home=published).code == 2
    assert zhixin("ledger", "fsck", home=published).code == 0
    assert zhixin("standing", THINGS, home=published).code == 0
    doctor = zhixin("doctor", home=published)
    assert "nothing lies here that was withdrawn for privacy" in doctor.out + doctor.err
    answer = zhixin("run", published / "contracts/things.odcs.yaml", "--json", home=published)
    assert answer.json["version"] == 2
    assert "was erased" in answer.err


def test_versions_of_one_part_are_named_together(zhixin, published):
    contract = published / "contracts/things.odcs.yaml"
    assert zhixin("run", contract, "--force", home=published).code == 0
    answer = zhixin("erase", f"{THINGS}@1", "--yes", "--json", home=published)
    assert (answer.code, answer.json["error"]["code"]) == (1, "erase-shared")
    assert answer.json["error"]["missing"] == [2]
    answer = zhixin("erase", f"{THINGS}@1", f"{THINGS}@2", "--yes", "--json", home=published)
    assert answer.json["versions"] == [1, 2]


def test_an_unfinished_erasure_is_told_and_finished(zhixin, published):
    import json

    marker = published / "erasing" / f"{THINGS}.json"
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({"dataset": THINGS, "versions": [1], "began": ""}))
    answer = zhixin("status", "--json", home=published)
    assert (answer.code, answer.json["erasing"]) == (3, [f"{THINGS}@1"])
    assert "goes on" in zhixin("status", home=published).err
    answer = zhixin("status", "--resume", home=published)
    assert (answer.code, f"erased {THINGS}@1" in answer.err) == (0, True)
    assert not (published / "store" / THINGS / "1").exists()


def test_what_is_no_version_is_refused(zhixin, published):
    assert zhixin("erase", THINGS, "--yes", home=published).code == 2
    assert zhixin("erase", f"{THINGS}@9", "--yes", home=published).code == 2
    assert zhixin("erase", f"{THINGS}@1", "other.example/x@1", "--yes", home=published).code == 2
