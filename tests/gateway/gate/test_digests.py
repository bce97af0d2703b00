"""Parts hashed side by side, and before anything is known of them: the verdict is the same."""

import io
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest
from zhixin_errors import FormatError
from zhixin_gateway import gate
from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets.manifest import MAX_PART_BYTES, MAX_PARTS, part_name
from zhixin_gateway.filedigests import DirectoryAhead, FileDigests, open_regular
from zhixin_gateway.gate import verify
from zhixin_gateway.gate.files import LocalDirectory
from zhixin_gateway.gate.verify import Options, examine_files
from zhixin_ledger.encoding import sha256
from zhixin_ledger.trust import save_trust

PARTS = 5


@pytest.fixture
def version(world, monkeypatch):
    """A version of five parts."""
    monkeypatch.setattr(hashing, "MAX_RECORDS", 3)
    return world.publish("many", [pa.RecordBatch.from_pydict({"n": range(3 * PARTS)})])


def look_ahead(folder, limit=MAX_PART_BYTES):
    return DirectoryAhead(folder, map(part_name, range(MAX_PARTS)), limit)


def digest_threads():
    return [item for item in threading.enumerate() if item.name == "zhixin-digest"]


def part(folder, number):
    return folder / part_name(number)


# Whatever happens to a directory, and the code that docs/formats.md 4 has for it.


def bit(folder):
    data = part(folder, 3).read_bytes()
    part(folder, 3).write_bytes(data[:9] + bytes([data[9] ^ 4]) + data[10:])
    return "part-digest"


def two_bits(folder):
    bit(folder)
    part(folder, 1).write_bytes(b"Q" + part(folder, 1).read_bytes()[1:])
    return "part-digest"


def longer(folder):
    with part(folder, 2).open("ab") as file:
        file.write(b"\0")
    return "part-digest"


def shorter(folder):
    part(folder, 4).write_bytes(part(folder, 4).read_bytes()[:-1])
    return "part-digest"


def empty(folder):
    part(folder, 0).write_bytes(b"")
    return "part-digest"


def swapped(folder):
    part(folder, 1).rename(folder / "held")
    part(folder, 2).rename(part(folder, 1))
    (folder / "held").rename(part(folder, 2))
    return "part-digest"


def removed(folder):
    part(folder, 2).unlink()
    return "part-missing"


def added(folder):
    shutil.copy(part(folder, 0), part(folder, PARTS))
    return "unlisted-file"


def link(folder):
    elsewhere = folder.parent / "elsewhere"
    part(folder, 0).rename(elsewhere)
    part(folder, 0).symlink_to(elsewhere)
    return "malformed"


def pipe(folder):
    part(folder, 1).unlink()
    os.mkfifo(part(folder, 1))
    return "malformed"


def as_folder(folder):
    part(folder, 1).unlink()
    part(folder, 1).mkdir()
    return "malformed"


def manifest(folder):
    data = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(data.replace(b'"records":"15"', b'"records":"14"'))
    return "manifest"


def untouched(folder):
    return None


TAMPERING = [
    *(untouched, bit, two_bits, longer, shorter, empty, swapped),
    *(removed, added, link, pipe, as_folder, manifest),
]


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
def test_the_verdict_does_not_depend_on_how_many_are_hashed_at_once(tamper, version, world):
    code = tamper(version)
    ask = partial(verify, version, world.trust(), now=world.now)
    want = ask(threads=1)
    assert want.code == code
    for threads in (2, 3, 16):
        assert ask(threads=threads) == want
    with look_ahead(version) as ahead:
        assert ask(ahead=ahead) == want
    with look_ahead(version) as ahead:
        assert ask(ahead=ahead, deep=True) == ask(deep=True, threads=1)
    assert digest_threads() == []


@pytest.mark.parametrize("tamper", TAMPERING[1:], ids=lambda tamper: tamper.__name__)
def test_what_is_done_to_a_directory_after_it_was_hashed_is_refused(tamper, version, world):
    with look_ahead(version) as ahead:
        wait_for_all(ahead)
        code = tamper(version)
        assert verify(version, world.trust(), now=world.now, ahead=ahead).code == code


def test_a_part_that_is_put_right_after_it_was_hashed_is_taken(version, world):
    good = part(version, 3).read_bytes()
    bit(version)
    with look_ahead(version) as ahead:
        wait_for_all(ahead)
        part(version, 3).write_bytes(good)
        assert verify(version, world.trust(), now=world.now, ahead=ahead).ok


def test_a_part_changed_in_place_with_its_times_put_back_is_refused(version, world):
    with look_ahead(version) as ahead:
        wait_for_all(ahead)
        before = part(version, 3).stat()
        time.sleep(0.02)  # the clock of a file system ticks slowly
        bit(version)
        os.utime(part(version, 3), ns=(before.st_atime_ns, before.st_mtime_ns))
        assert part(version, 3).stat().st_mtime_ns == before.st_mtime_ns
        assert verify(version, world.trust(), now=world.now, ahead=ahead).code == "part-digest"


def test_what_was_hashed_lies_where_the_gate_looks(version, world, tmp_path):
    """By `a/link/../3` a system opens another directory than the one that the path spells."""
    good, spelt = tmp_path / "good" / "3", tmp_path / "spelt" / "3"
    shutil.copytree(version, good)
    shutil.copytree(version, spelt)
    (good.parent / "inside").mkdir()
    (spelt.parent / "link").symlink_to(good.parent / "inside")
    code = bit(spelt)
    path = spelt.parent / "link" / ".." / "3"
    ask = partial(verify, path, world.trust(), now=world.now)
    want = ask(threads=1)
    assert want.code == code
    with look_ahead(path) as ahead:
        assert ask(ahead=ahead) == want


def wait_for_all(ahead):
    end = time.monotonic() + 20
    while digest_threads():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_looks_no_further_than_the_first_name_that_is_not_there(version):
    part(version, 2).unlink()
    with look_ahead(version) as ahead:
        wait_for_all(ahead)
        for number in (0, 1):
            data = part(version, number).read_bytes()
            found = ahead.take(part_name(number))
            assert (found.size_bytes, found.sha256) == (len(data), sha256(data))
        assert ahead.take(part_name(2)) is None
        assert ahead.take(part_name(3)) is None
        assert ahead.take("manifest.json") is None


def test_of_a_file_that_is_too_large_no_more_is_read_than_tells_so(version):
    with part(version, 1).open("r+b") as file:
        file.truncate(1 << 40)
    with look_ahead(version, limit=1 << 20) as ahead:
        assert ahead.take(part_name(0)).size_bytes < 1 << 20
        assert 1 << 20 < ahead.take(part_name(1)).size_bytes <= 2 << 20


def test_a_directory_that_is_none_has_no_digests(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "nothing", tmp_path):
        with look_ahead(path) as ahead:
            assert ahead.take(part_name(0)) is None


class Endless(io.RawIOBase):
    """A file without an end; reading it takes time."""

    def readable(self):
        return True

    def readinto(self, buffer):
        time.sleep(0.005)
        return len(buffer)


def test_who_wants_no_digest_any_more_waits_for_none():
    digests = FileDigests(lambda name: Endless(), map(str, range(9)), 1 << 60, threads=2)
    assert len(digest_threads()) == 2
    began = time.monotonic()
    digests.close()
    assert time.monotonic() - began < 5
    assert digest_threads() == []
    assert digests.take("0") is None


def test_a_file_that_breaks_while_it_is_read_is_left_to_who_needs_it(version):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    with FileDigests(lambda name: Broken(), ["a", "b"], 99, threads=1) as digests:
        assert digests.take("a") is None
        assert digests.take("b") is None


class Elsewhere:
    """A version's files that lie in memory; two of its parts must be read at once."""

    def __init__(self, folder):
        self.data = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.both = threading.Barrier(2, timeout=20)

    def entries(self):
        return dict.fromkeys(self.data, "file")

    def open(self, name):
        if name not in self.data:
            raise FormatError(f"{name} is not there")
        if name in (part_name(0), part_name(1)):
            self.both.wait()
        return io.BytesIO(self.data[name])


@pytest.mark.parametrize("kind", ["shallow", "deep", "reading"])
def test_files_that_lie_anywhere_are_worked_on_side_by_side(kind, version, world):
    files = Elsewhere(version)
    options = Options(now=world.now, deep=kind == "deep", reading=kind == "reading", threads=2)
    verdict = examine_files(files, None, world.trust(), options).verdict
    assert verdict.ok, verdict.message
    files.data[part_name(4)] += b"\0"
    assert examine_files(files, None, world.trust(), options).verdict.code == "part-digest"


def test_deep_verification_tells_of_the_first_part_that_is_not_its_records(version, world):
    for threads in (1, 2, 8):

        def salted(_path, part):
            return replace(part, salt_key=bytes(32)) if part.path != part_name(0) else part

        folder = world.publish(
            "many", [pa.RecordBatch.from_pydict({"n": range(3 * PARTS)})], alter=salted
        )
        verdict = verify(folder, world.trust(), now=world.now, deep=True, threads=threads)
        assert verdict.code == "record"
        assert part_name(1) in verdict.message


HEAVY = ("pyarrow", "numpy", "pandas", "duckdb", "sqlalchemy", "rich", "zhixin_connectors")


@pytest.mark.parametrize(
    ("options", "loaded"),
    [([], set()), (["--deep"], {"pyarrow", "numpy"})],
    ids=["shallow", "deep"],
)
def test_loads_only_what_it_needs(options, loaded, version, world, tmp_path):
    save_trust(world.trust(), tmp_path / "trust")
    given = ["verify", str(version), "--trust", str(tmp_path / "trust"), *options]
    code = (
        "import sys; from zhixin_gateway import cli\n"
        f"assert cli.main({given!r}) == 0\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120,
        cwd=tmp_path,
    )  # fmt: skip
    found = set(done.stdout.splitlines()[-1].split())
    if hashing.kernel() is None:
        found.discard("pandas")  # Arrow loads it for the texts of the pure path
    assert found == loaded


def test_the_gate_has_its_names_and_no_others():
    assert all(hasattr(gate, name) for name in gate.__all__)
    with pytest.raises(AttributeError):
        gate.nothing  # noqa: B018


def test_a_part_is_opened_as_the_gate_opens_everything(version):
    link(version)
    with pytest.raises(FormatError, match="link"):
        open_regular(part(version, 0), part_name(0))
    with pytest.raises(FormatError, match="link"):
        LocalDirectory(version).open(part_name(0))
