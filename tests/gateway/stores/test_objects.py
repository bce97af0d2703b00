"""What an object store is asked, against a real server: whole objects, or a sentence."""

import pytest
from zhixin_connectors.objectstore import check_address, open_filesystem
from zhixin_errors import ConfigError, TransientSourceError
from zhixin_gateway.stores.objects import Objects

from tests.gateway.stores.breaking import Fault

BIG = bytes(range(256)) * 100_000  # 25.6 MB: three parts of an upload


def read(objects, name):
    with objects.open(name) as file:
        return file.read()


def keep_versions(s3_url, s3_port):
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}", region_name="us-east-1")
    wanted = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=s3_url.split("/")[2], VersioningConfiguration=wanted)
    client.close()


def test_objects_are_put_listed_copied_and_deleted(objects):
    assert objects.listed() == []
    objects.put("b", b"two")
    objects.put("a", b"")
    objects.below("inside").put("c", b"three")
    assert [(each.name, each.is_object, each.size) for each in objects.listed()] == [
        ("a", True, 0), ("b", True, 3), ("inside", False, 0),
    ]  # fmt: skip
    assert objects.sizes() == {"a": 0, "b": 3}
    assert objects.there(["a", "none", "inside/c"]) == [True, False, True]
    objects.copy(objects.below("inside"), "c", "d")
    assert (read(objects, "d"), objects.size("d"), objects.size("none")) == (b"three", 5, None)
    assert objects.tag("d") == objects.below("inside").tag("c") != ""
    objects.delete("d")
    objects.delete("d")
    objects.below("inside").delete_all()
    assert [each.name for each in objects.listed()] == ["a", "b"]
    for act in (lambda: objects.open("d"), lambda: objects.copy(objects, "d", "e")):
        with pytest.raises(FileNotFoundError):
            act()


def test_a_big_object_is_sent_in_parts_and_read_in_ranges(objects, tmp_path):
    path = tmp_path / "big"
    path.write_bytes(BIG)
    objects.put_file("big", path)
    assert objects.tag("big").endswith('-3"')
    with objects.open("big") as file:
        assert b"".join(iter(lambda: file.read(1 << 20), b"")) == BIG
    with objects.open_anywhere("big") as file:
        file.seek(-3, 2)
        assert file.read() == BIG[-3:]


@pytest.mark.parametrize("size", [10, 25_600_000])
def test_an_object_that_is_abandoned_is_not_there(objects, size):
    writing = objects.create("half")
    writing.write(BIG[:size])
    assert objects.sizes() == {}
    writing.abandon()
    writing.abandon()
    assert objects.sizes() == {}


@pytest.mark.slow
def test_a_folder_of_more_objects_than_one_answer_lists_is_listed_whole(objects):
    for number in range(1_050):
        objects.put(f"{number:04}", b"")
    assert [each.name for each in objects.listed()] == [f"{n:04}" for n in range(1_050)]


def test_a_bucket_that_keeps_old_versions_is_known(objects, s3_url, s3_port):
    objects.put("a", b"")
    assert not objects.is_versioned("a")
    keep_versions(s3_url, s3_port)
    objects.put("a", b"")
    assert objects.is_versioned("a")


def test_a_missing_bucket_is_said_by_its_name(s3_url):
    nowhere = Objects.at(s3_url.replace("bucket-", "nobucket-"))
    bucket = nowhere.root.partition("/")[0]
    for act in (nowhere.listed, lambda: nowhere.put("a", b"")):
        with pytest.raises(ConfigError, match=f"store s3://{bucket} .* no such bucket") as caught:
            act()
        assert caught.value.code == "store-missing"


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_no_permission_is_said_and_not_tried_again(breaking, broken_url, method):
    objects = Objects.at(broken_url)
    objects.put("a", b"text")
    breaking.faults.append(Fault(method, "", 403))
    act = {
        "GET": objects.listed,
        "PUT": lambda: objects.put("b", b""),
        "HEAD": lambda: objects.tag("a"),
    }[method]
    with pytest.raises(ConfigError, match="may not do it") as caught:
        act()
    assert caught.value.code == "store-refused"
    assert breaking.faults[0].met == 1


def test_what_fails_now_is_tried_again(breaking, broken_url, tmp_path):
    path = tmp_path / "big"
    path.write_bytes(BIG)
    breaking.faults += [
        Fault("PUT", "partNumber=2", 503, times=2), Fault("POST", "uploadId", 500, times=1),
        Fault("POST", "uploads", 0, times=1), Fault("PUT", "small", 0, times=1),
    ]  # fmt: skip
    objects = Objects.at(broken_url)
    objects.put_file("big", path)
    objects.put("small", b"text")
    assert [fault.met for fault in breaking.faults] == [2, 1, 1, 1]
    breaking.faults[:] = [Fault("GET", "/big", 0, times=2), Fault("GET", "/big", 503, times=1)]
    assert read(objects, "big") == BIG
    assert read(objects, "small") == b"text"


@pytest.mark.slow
def test_what_goes_on_failing_ends_with_a_sentence_and_no_object(breaking, broken_url, s3_url):
    objects = Objects.at(broken_url)
    breaking.faults.append(Fault("PUT", "partNumber=2", 503))
    writing = objects.create("big")
    writing.write(BIG)
    with pytest.raises(TransientSourceError, match="does not answer") as caught:
        writing.close()
    assert caught.value.code == "store-unavailable"
    assert breaking.faults[0].met == 5
    writing.abandon()
    assert Objects.at(s3_url).sizes() == {}


def test_an_object_that_goes_away_while_it_is_read_is_told(breaking, broken_url):
    objects = Objects.at(broken_url)
    objects.put("big", BIG)
    with objects.open("big") as file:
        file.read(1)
        objects.delete("big")
        with pytest.raises((OSError, TransientSourceError)):
            file.readall()


def test_errors_never_repeat_what_stands_in_an_address(breaking, broken_url):
    objects = Objects.at(broken_url)
    assert "?" not in objects.name
    breaking.faults.append(Fault("GET", "", 403))
    with pytest.raises(ConfigError) as caught:
        objects.listed()
    assert "endpoint" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "address",
    [
        "s3://user:secret@bucket/x", "s3://AKIA@bucket/x", "s3://bucket/x?secret=abc",
        "s3://bucket/x?nonsense=1", "s3://bucket/x?anonymous=perhaps", "nonsense://bucket/x",
        "s3:///x", "s3://[bucket/x",
    ],
)  # fmt: skip
def test_addresses_that_cannot_be_used_are_refused_without_being_repeated(address):
    with pytest.raises(ConfigError) as caught:
        check_address(address, "store in zhixin.toml")
    assert caught.value.message.startswith("store in zhixin.toml")
    assert not any(word in str(caught.value) for word in ("abc", "AKIA", "user:secret"))


def test_credentials_come_from_files_where_they_are_named(s3_url, tmp_path, monkeypatch):
    key, secret = tmp_path / "key", tmp_path / "secret"
    key.write_text("AKIAFILE\n")
    secret.write_text("from a file\n")
    files = {"AWS_ACCESS_KEY_ID_FILE": str(key), "AWS_SECRET_ACCESS_KEY_FILE": str(secret)}
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    filesystem, path = open_filesystem(s3_url, "it", files)
    assert path.endswith("/store")
    with filesystem.open_output_stream(f"{path}/a") as file:
        file.write(b"x")
    for broken in (dict([*files.items()][:1]), {**files, "AWS_ACCESS_KEY_ID_FILE": "/nowhere"}):
        with pytest.raises(ConfigError):
            open_filesystem(s3_url, "it", broken)
