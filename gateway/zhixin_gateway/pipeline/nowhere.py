"""A sink that keeps nothing: for a dry run, which counts what a version would hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from zhixin_errors import ConfigError

if TYPE_CHECKING:
    from zhixin_gateway.datasets.manifest import PartEntry
    from zhixin_gateway.datasets.sinks import PartFile

__all__ = ["Nowhere"]


class _NoFile:
    def write(self, data: bytes | memoryview) -> int:
        return len(data)

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class Nowhere:
    """Takes everything and has nothing; old parts are taken over by their word."""

    def create(self, _name: str) -> PartFile:
        """Begin a file that is none."""
        return _NoFile()

    def carry(self, _entry: PartEntry, _name: str) -> bool:
        """Say yes."""
        return True

    def open(self, name: str) -> BinaryIO:
        """Refuse: there is nothing to read."""
        raise ConfigError(f"{name} was written by a dry run, which keeps nothing")

    def remove(self, _name: str) -> None:
        """Do nothing."""

    def rename(self, _old: str, _new: str) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""

    def below(self, _folder: str) -> Nowhere:
        """Keep nothing there either."""
        return self

    def clear(self, _folder: str) -> None:
        """Do nothing."""
