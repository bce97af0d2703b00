"""Which version a path asks for, and what stands in its way."""

import errno
import io
import json
import os
import socket
from datetime import datetime
from pathlib import Path

import pytest
from zhixin_errors import ConfigError
from zhixin_gateway.gate import verify
from zhixin_gateway.gate.checks import Asked, asked_by_path, parse_asked
from zhixin_gateway.gate.verdict import CHECKS

BASE = "land.gov.example/flights/2"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/s/bts.gov.example/flights/3", Asked("bts.gov.example/flights", 3, by_path=True)),
        ("/bts.gov.example/flights/10", Asked("bts.gov.example/flights", 10, by_path=True)),
        ("/s/bts.gov.example/flights/03", None),
        ("/s/bts.gov.example/flights/0", None),
        ("/s/bts.gov.example/flights/x", None),
        ("/s/bts.gov.example/Flights/3", None),
        ("/s/bts/flights/3", None),
        ("/flights/3", None),
        ("/", None),
    ],
)
def test_a_path_that_ends_in_member_dataset_number_asks_for_it(path, asked, tmp_path):
    assert asked_by_path(type(tmp_path)(path)) == asked


@pytest.mark.parametrize(
    "expect",
    [
        "",
        "x",
        "a.b",
        "a.b/c@",
        "a.b/c@0",
        "a.b/c@01",
        "a.b/c@-1",
        "A.b/c@1",
        "a.b/c@1@1",
        "a.b/c/1",
    ],
)
def test_what_is_expected_must_be_said_in_full(expect):
    with pytest.raises(ConfigError) as caught:
        parse_asked(expect)
    assert caught.value.exit_code == 2


def test_a_path_through_a_link_asks_by_its_own_name(lay_out, tmp_path):
    case = lay_out({"base": BASE})
    place = tmp_path / "links" / "land.gov.example" / "flights"
    place.mkdir(parents=True)
    for number in ("2", "3"):
        (place / number).symlink_to(case.folder)
    options = case.options()
    assert verify(place / "2", case.trust, **options).ok
    refused = verify(place / "3", case.trust, **options)
    assert refused.code == "unexpected"
    assert "--expect land.gov.example/flights@2" in refused.message


@pytest.mark.parametrize("shape", ["{}/", "{}/.", "{}/../2", "{}/../../flights/2"])
def test_a_path_is_made_absolute_before_it_asks(shape, lay_out):
    case = lay_out({"base": BASE})
    assert verify(shape.format(case.folder), case.trust, **case.options()).ok
    wrong = case.folder.parent / "3"
    case.folder.rename(wrong)
    verdict = verify(f"{wrong}/.", case.trust, **case.options())
    assert verdict.code == "unexpected"


def test_a_version_that_nobody_asked_for_is_warned_of(lay_out):
    verdict = lay_out({"base": BASE, "path": "some/where"}).verify()
    assert verdict.ok
    assert any("--expect" in warning for warning in verdict.warnings)
    assert all(warning in verdict.to_json()["message"] for warning in verdict.warnings)


def test_no_directory_is_a_fault_of_the_caller(lay_out, tmp_path):
    case = lay_out({"base": BASE})
    for path in (tmp_path / "nowhere", case.folder / "manifest.json"):
        with pytest.raises(ConfigError) as caught:
            verify(path, case.trust, **case.options())
        assert caught.value.exit_code == 2
        assert str(path) in caught.value.message


def test_a_standing_file_that_is_not_there_is_a_fault_of_the_caller(lay_out, tmp_path):
    case = lay_out({"base": BASE})
    with pytest.raises(ConfigError):
        case.verify(standings=[tmp_path / "nowhere.json"])


def test_a_clock_without_an_offset_is_a_fault_of_the_caller(lay_out):
    case = lay_out({"base": BASE})
    with pytest.raises(ConfigError):
        case.verify(now=datetime(2026, 3, 1))  # noqa: DTZ001 - that is the case


def test_names_that_are_not_text_are_shown_escaped(lay_out):
    case = lay_out({"base": BASE})
    (case.folder / os.fsdecode(b"\xff\x1b[31m")).touch()
    verdict = case.verify()
    assert verdict.code == "unlisted-file"
    assert verdict.message.isprintable()
    assert json.dumps(verdict.to_json())


def test_the_answer_has_exactly_the_members_that_are_specified(lay_out):
    answer = lay_out({"base": BASE}).verify().to_json()
    assert list(answer) == [
        "ok", "code", "message", "dataset", "version", "index", "size", "time", "records", "checks",
    ]  # fmt: skip
    assert [check["name"] for check in answer["checks"]] == list(CHECKS)


@pytest.mark.parametrize("name", ["manifest.json", "part-00000.parquet"])
@pytest.mark.parametrize("moment", ["opened", "read"])
def test_a_file_that_can_not_be_read_is_no_verdict(name, moment, lay_out, monkeypatch):
    case = lay_out({"base": BASE})
    real_open, real_fdopen = os.open, os.fdopen

    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(errno.EIO, "Input/output error")

    def broken_open(path, *rest, **more):
        if str(path).endswith(name) and moment == "opened":
            raise PermissionError(errno.EACCES, "Permission denied")
        descriptor = real_open(path, *rest, **more)
        broken.update({descriptor} if str(path).endswith(name) else ())
        return descriptor

    def broken_fdopen(descriptor, *rest, **more):
        file = real_fdopen(descriptor, *rest, **more)
        if descriptor not in broken:
            return file
        file.close()
        return Broken()

    broken = set()
    monkeypatch.setattr(os, "open", broken_open)
    monkeypatch.setattr(os, "fdopen", broken_fdopen)
    with pytest.raises(ConfigError) as caught:
        case.verify()
    assert name in caught.value.message
    assert caught.value.exit_code == 2


def test_a_directory_that_can_not_be_listed_is_no_verdict(lay_out, monkeypatch):
    case = lay_out({"base": BASE})

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigError, match="can't be listed"):
        case.verify()


@pytest.mark.parametrize("name", ["manifest.json", "part-00000.parquet"])
def test_a_socket_in_the_directory_is_no_file(name, lay_out, monkeypatch):
    case = lay_out({"base": BASE})
    monkeypatch.chdir(case.folder)
    with socket.socket(socket.AF_UNIX) as listener:
        Path(name).unlink()
        listener.bind(name)
        verdict = case.verify()
    assert verdict.code == "malformed"
    assert f"{name} is " in verdict.message
