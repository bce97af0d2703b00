"""Every verification of the vectors gives exactly its code, and says which row failed."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from zhixin_errors import TrustError
from zhixin_gateway.gate.verify import Machine

pytestmark = pytest.mark.usefixtures("either_path")

VECTORS = Path(__file__).parents[2] / "vectors"
VERSIONS = sorted(
    str(path.parent.relative_to(VECTORS / "versions"))
    for path in (VECTORS / "versions").glob("*/*/*/manifest.json")
)

# Which row of docs/formats.md 4 has which code; a standing's faults fail `standing`.
ROWS = {
    "malformed": "malformed",
    "part-missing": "malformed",
    "unlisted-file": "malformed",
    "unexpected": "unexpected",
    "log-signature": "log-signature",
    "quorum": "quorum",
    "statement-signature": "statement-signature",
    "owner": "statement-signature",
    "inclusion": "inclusion",
    "manifest": "manifest",
    "contract": "contract",
    "part-digest": "part-digest",
    "root": "root",
    "record": "record",
}
NAMES = [*dict.fromkeys(ROWS.values()), "standing"]
RECORD_NAMES = [name for name in NAMES if name not in ("manifest", "contract", "part-digest")]
FAILS_IN_QUORUM = {"forked-trust-receipt", "forked-trust-early"}


def cases(folder):
    return sorted((VECTORS / folder).glob("*.json"))


def failed_row(folder, name, code):
    if folder == "standing":
        return "quorum" if name in FAILS_IN_QUORUM or name == "quorum-current-keys" else "standing"
    return ROWS[code]


def assert_answers(verdict, folder, path, given):
    name, code = path.stem, given["code"]
    answer = verdict.to_json()
    assert (answer["code"], answer["ok"]) == (code, code is None), answer["message"]
    names = [check["name"] for check in answer["checks"]]
    statuses = [check["status"] for check in answer["checks"]]
    order = RECORD_NAMES if "record_proof" in given else NAMES
    assert names == order[: len(names)]
    if code is None:
        assert names == order
        assert "failed" not in statuses
        assert (answer["checks"][-1]["status"] == "skipped") == ("standing" not in given)
        if "record_proof" not in given:
            assert (verdict.status("record") == "passed") == bool(given.get("deep"))
    else:
        assert names[-1] == failed_row(folder, name, code)
        assert statuses[-1] == "failed"
        assert "failed" not in statuses[:-1]


@pytest.mark.parametrize(
    ("folder", "path"),
    [(folder, path) for folder in ("negative", "accept", "standing") for path in cases(folder)],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_gives_exactly_the_code_of_the_vector(folder, path, lay_out):
    case = lay_out(path)
    assert_answers(case.verify(), folder, path, case.given)
    if folder == "negative" and case.given.get("deep"):
        assert case.verify(deep=False).ok


def lies_in_files(path):
    """Whether the fault of a vector lies in the version's own files, as objects can have it."""
    given = json.loads(path.read_text())
    items = [item for item in given.get("files", {}).values() if isinstance(item, dict)]
    return "files" in given and "relative" not in given and not any("link" in i for i in items)


IN_FILES = [
    pytest.param(
        folder,
        path,
        marks=[] if number % 60 == 0 else [pytest.mark.slow],
        id=f"{folder}-{path.stem}",
    )
    for number, (folder, path) in enumerate(
        (folder, path)
        for folder in ("negative", "accept")
        for path in cases(folder)
        if lies_in_files(path)
    )
]


@pytest.mark.parametrize("lay_out", ["objects"], indirect=True)
@pytest.mark.parametrize(("folder", "path"), IN_FILES)
def test_gives_the_same_code_where_the_files_are_objects(folder, path, lay_out):
    case = lay_out(path)
    assert_answers(case.verify(), folder, path, case.given)


@pytest.mark.parametrize("path", cases("trust-cases"), ids=lambda path: path.stem)
def test_a_trust_that_is_none_is_a_fault_of_the_set_up(path, lay_out):
    case = lay_out(path)
    if case.given["code"] is None:
        assert_answers(case.verify(), "trust-cases", path, case.given)
        return
    with pytest.raises(TrustError) as caught:
        case.verify()
    assert caught.value.code == case.given["code"]


@pytest.mark.parametrize("base", VERSIONS)
@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
@pytest.mark.parametrize(
    "lay_out", ["folder", pytest.param("objects", marks=pytest.mark.slow)], indirect=True
)
def test_verifies_every_whole_version(base, deep, lay_out, results):
    verdict = lay_out({"base": base, "deep": deep}).verify()
    answer, want = verdict.to_json(), results["versions"][base]
    assert answer["ok"], answer["message"]
    member, dataset, number = base.split("/")
    assert answer["dataset"] == f"{member}/{dataset}"
    assert answer["version"] == int(number)
    assert [str(answer[name]) for name in ("index", "size", "time", "records")] == [
        want[name] for name in ("index", "size", "time", "records")
    ]
    assert json.loads(json.dumps(answer)) == answer
    assert verdict.time == datetime.fromisoformat(want["time"])
    assert verdict.status("record") == ("passed" if deep else "skipped")
    assert verdict.status("standing") == "skipped"


def test_a_row_is_never_asked_twice_nor_out_of_order():
    machine = Machine()
    with machine.row("quorum"):
        pass
    for name in ("quorum", "malformed"):
        with pytest.raises(RuntimeError), machine.row(name):
            pass
        with pytest.raises(RuntimeError):
            machine.skip(name)
    machine.skip("record")
    assert [result.status for result in machine.results] == ["passed", "skipped"]
