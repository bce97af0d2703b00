"""A version's files in an object store (docs/stores.md).

Every name right below the version's address counts: an object that nobody listed, and what looks
like a folder there, are found as in a directory. There are no links. Each object is read from its
begin in one pass; what is decoded is the private copy that was hashed, as with any other file, so
that an object that changes between two reads is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.stores.objects import Objects

if TYPE_CHECKING:
    from zhixin_gateway.gate.files import Kind

__all__ = ["ObjectDirectory", "open_address", "path_of"]


class ObjectDirectory:
    """A version's objects.

    Args:
        objects: those below its address.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def entries(self) -> dict[str, Kind]:
        """Every name that is there, and what it is."""
        found: dict[str, Kind] = {}
        for each in self._objects.listed():
            is_file = each.is_object and found.get(each.name) != "folder"
            found[each.name] = "file" if is_file else "folder"
        return found

    def open(self, name: str) -> BinaryIO:
        """An object's bytes."""
        try:
            return cast("BinaryIO", self._objects.open(name))
        except FileNotFoundError:
            raise FormatError(f"{name} is not there") from None

    def open_anywhere(self, name: str) -> BinaryIO:
        """The same, to be read in any order: its end alone is fetched where no more is read."""
        try:
            return cast("BinaryIO", self._objects.open_anywhere(name))
        except FileNotFoundError:
            raise FormatError(f"{name} is not there") from None


def open_address(url: str, environ: Mapping[str, str] = os.environ) -> ObjectDirectory:
    """Open a version that lies in an object store.

    Args:
        url: its address, such as ``s3://bucket/bts.gov.example/flights/3?region=cn-north-1``.
        environ: where credentials stand.

    Raises:
        ConfigError: the address can't be used, or nothing lies there.
        TransientSourceError: the store does not answer.
    """
    objects = Objects.at(url, environ)
    if not objects.listed(1):
        raise ConfigError(
            f"{objects.name} does not exist",
            hint="give the address of a version, such as s3://BUCKET/bts.gov.example/flights/3",
        )
    return ObjectDirectory(objects)


def path_of(url: str) -> PurePosixPath:
    """The path of an address, which may end in member/dataset/number."""
    return PurePosixPath(url.partition("?")[0].partition("#")[0].partition("://")[2])
