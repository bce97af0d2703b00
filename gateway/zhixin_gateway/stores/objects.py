"""Objects under an address: what an object store is asked, and what its refusals are called.

Everything here is one request or a few, tried again by the client where that may help; what comes
out is bytes, sizes and names. What they mean is said by who asks.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from zhixin_connectors.objectstore import open_filesystem, shown
from zhixin_errors import ConfigError, TransientSourceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Found", "Objects"]

_CHUNK_BYTES = 8 << 20
"""Each of these is one request, read or written."""

_REFUSED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH",
            "INVALID_CLIENT_TOKEN_ID", "EXPIRED_TOKEN", "HTTP status 403", "HTTP status 401",
            "HTTP response code 403", "HTTP response code 401")  # fmt: skip
_NO_BUCKET = ("NO_SUCH_BUCKET", "Bucket '")
_NO_OBJECT = ("NO_SUCH_KEY", "RESOURCE_NOT_FOUND")


class Found(NamedTuple):
    """A name below an address: an object, or what looks like a folder."""

    name: str
    is_object: bool
    size: int


@dataclass(frozen=True)
class Objects:
    """The objects below an address.

    Args:
        filesystem: pyarrow's.
        root: the path in it.
        name: what messages call it: without parameters.
    """

    filesystem: Any
    root: str
    name: str

    @classmethod
    def at(cls, url: str, environ: Mapping[str, str] = os.environ) -> Objects:
        """Open an address; nothing is reached yet.

        Raises:
            ConfigError: the address can't be used.
            TransientSourceError: the file system behind it refuses.
        """
        opened = cls(None, "", shown(url))
        with opened._telling():
            filesystem, root = open_filesystem(url, "the address of the store", environ)
        return cls(filesystem, root, shown(url))

    def below(self, inside: str) -> Objects:
        """The objects below one of its paths."""
        return Objects(self.filesystem, f"{self.root}/{inside}", f"{self.name}/{inside}")

    def listed(self, most: int | None = None) -> list[Found]:
        """The names right below, by name; none where nothing is there.

        Args:
            most: stop after so many.

        Raises:
            ConfigError: there is no such bucket, or no permission.
        """
        from pyarrow import fs as pafs

        selector = pafs.FileSelector(self.root, allow_not_found=True)
        with self._telling():
            found = self.filesystem.get_file_info(selector)
            if not found and not self._has_bucket():
                raise self._missing()
        is_file = pafs.FileType.File
        shown_first = found if most is None else found[: most + 1]
        return sorted(
            Found(each.base_name, each.type == is_file, each.size or 0) for each in shown_first
        )

    def sizes(self) -> dict[str, int]:
        """The bytes of each object right below."""
        return {each.name: each.size for each in self.listed() if each.is_object}

    def there(self, names: list[str]) -> list[bool]:
        """Whether each of these is an object."""
        from pyarrow import fs as pafs

        if not names:
            return []
        with self._telling():
            found = self.filesystem.get_file_info([self._path(name) for name in names])
        return [each.type == pafs.FileType.File for each in found]

    def size(self, name: str) -> int | None:
        """An object's bytes; None where there is none."""
        from pyarrow import fs as pafs

        with self._telling():
            found = self.filesystem.get_file_info(self._path(name))
        return found.size if found.type == pafs.FileType.File else None

    def tag(self, name: str) -> str:
        """What the store calls an object's bytes; empty where it says nothing.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return self._metadata(name).get("ETag", "")

    def is_versioned(self, name: str) -> bool:
        """Whether the store keeps what an object was before it was deleted, as far as it says.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return self._metadata(name).get("VersionId", "") not in ("", "null")

    def _metadata(self, name: str) -> dict[str, str]:
        with self._telling(), self.filesystem.open_input_file(self._path(name)) as file:
            return {
                (key.decode() if isinstance(key, bytes) else key): (
                    value.decode() if isinstance(value, bytes) else value
                )
                for key, value in (file.metadata() or {}).items()
            }

    def open(self, name: str) -> io.RawIOBase:
        """An object's bytes from its begin; where it goes away meanwhile, that is told.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._telling():
            stream = self.filesystem.open_input_stream(self._path(name), buffer_size=_CHUNK_BYTES)
        return _Reading(stream, self._telling)

    def open_anywhere(self, name: str) -> Any:  # noqa: ANN401 - pyarrow's
        """An object, to read it in any order.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._telling():
            return self.filesystem.open_input_file(self._path(name))

    def create(self, name: str) -> Writing:
        """Begin an object, whose parts are sent while it is written."""
        return Writing(self, name)

    def put(self, name: str, data: bytes) -> None:
        """Write a small object, in one request."""
        writing = self.create(name)
        try:
            writing.write(data)
            writing.close()
        except BaseException:
            writing.abandon()
            raise

    def put_file(self, name: str, path: Path) -> None:
        """Write a file's bytes."""
        writing = self.create(name)
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    writing.write(chunk)
            writing.close()
        except BaseException:
            writing.abandon()
            raise

    def copy(self, source: Objects, old: str, new: str) -> None:
        """Copy an object within the store, whose bytes do not travel.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._telling():
            self.filesystem.copy_file(source._path(old), self._path(new))

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with self._telling():
            try:
                self.filesystem.delete_file(self._path(name))
            except FileNotFoundError:
                return

    def delete_all(self) -> None:
        """Delete everything below."""
        with self._telling():
            try:
                self.filesystem.delete_dir(self.root)
            except FileNotFoundError:
                return

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _has_bucket(self) -> bool:
        from pyarrow import fs as pafs

        bucket = self.root.partition("/")[0]
        return not bucket or self.filesystem.get_file_info(bucket).type != pafs.FileType.NotFound

    def _missing(self) -> ConfigError:
        return ConfigError(
            f"the store {self.name.partition('://')[0]}://{self.root.partition('/')[0]} "
            "is not there: there is no such bucket",
            code="store-missing",
            hint="make the bucket first, or mend store in zhixin.toml; docs/stores.md",
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what a store refuses into a sentence; what is not there is told as it is."""
        from pyarrow import ArrowException

        try:
            yield
        except FileNotFoundError as error:
            if any(sign in str(error) for sign in _NO_BUCKET):
                raise self._missing() from None
            raise
        except (OSError, ArrowException) as error:
            text = str(error)
            if _NO_BUCKET[0] in text:
                raise self._missing() from None
            if any(sign in text for sign in _NO_OBJECT):
                raise FileNotFoundError(errno.ENOENT, "no such object") from None
            if isinstance(error, PermissionError) or any(sign in text for sign in _REFUSED):
                raise ConfigError(
                    f"the store {self.name} refuses: these credentials may not do it",
                    code="store-refused",
                    hint="they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from "
                    "~/.aws; docs/stores.md lists the permissions, `zhixin doctor` tries them",
                ) from None
            raise TransientSourceError(
                f"the store {self.name} does not answer as it should",
                code="store-unavailable",
                hint="check its address and the network; what was begun is taken up again",
            ) from None


class Writing:
    """One object while it is written: it is there once `close` has returned.

    pyarrow has no way to break an upload off: what was sent of an object that is abandoned is ended
    and deleted at once. Nothing reads it meanwhile, for a version is read only once its receipt is
    there. Of a process that is killed no object is left, but the sent parts of one
    (docs/stores.md: let the bucket throw them away).
    """

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects = objects
        self._name = name
        self._written = 0
        with objects._telling():
            self._stream: Any = objects.filesystem.open_output_stream(objects._path(name))

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; how many."""
        with self._objects._telling():
            self._stream.write(data)
        self._written += len(data)
        return len(data)

    def close(self) -> None:
        """End it, and hold it to what was written.

        Raises:
            TransientSourceError: the store has not all of it.
        """
        with self._objects._telling():
            self._stream.close()
        if self._objects.size(self._name) != self._written:
            raise TransientSourceError(
                f"{self._name} did not come to the store {self._objects.name} whole",
                code="store-unavailable",
            )

    def abandon(self) -> None:
        """Leave no object; raises nothing."""
        for step in (self._stream.close, lambda: self._objects.delete(self._name)):
            with suppress(Exception):  # the error that led here is the one to tell
                step()


class _Reading(io.RawIOBase):
    """A stream whose faults are told in the store's name."""

    def __init__(self, stream: Any, telling: Callable[[], Any]) -> None:  # noqa: ANN401
        super().__init__()
        self._stream = stream
        self._telling = telling

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        try:
            with self._telling():
                return int(self._stream.readinto(buffer))
        except FileNotFoundError as error:
            raise OSError(error.errno, "it went away while it was read") from None

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
