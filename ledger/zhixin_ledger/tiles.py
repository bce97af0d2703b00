"""Tiles: a ledger as a folder of files that never change (C2SP tlog-tiles).

::

    checkpoint                      the newest signed note
    tile/<L>/<N>[.p/<W>]            256 hashes, or the first W of them
    tile/entries/<N>[.p/<W>]        256 entries, or W: each u16be length ‖ bytes

N is written in groups of three digits, all but the last with an `x`: 1234067 → `x001/x234/067`.
Hash i of tile n at level l is MTH over entries (256·n + i)·256^l … of one complete subtree.
A file is whole or not there (``files``).

It does not check anything: ``audit`` and ``mirror`` do.
"""

from __future__ import annotations

import os
import re
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from zhixin_errors import FormatError, LedgerUnavailable

from zhixin_ledger import merkle
from zhixin_ledger.files import sync_folders, write_file
from zhixin_ledger.steps import Hook, no_hook

__all__ = [
    "CHECKPOINT",
    "WIDTH",
    "DirectorySource",
    "TileSource",
    "Tiles",
    "entries_path",
    "keep_size",
    "pack_entries",
    "tile_path",
    "unpack_entries",
    "write_tiles",
]

CHECKPOINT = "checkpoint"
WIDTH = 256
HASH_BYTES = 32
MAX_ENTRY_BYTES = 65_535
_MAX_RESOURCE_BYTES = WIDTH * (2 + MAX_ENTRY_BYTES)
_CACHED_TILES = 64
_RESOURCE = re.compile(
    r"checkpoint|tile/(?:[0-9]|[1-5][0-9]|6[0-3]|entries)/(?:x[0-9]{3}/)*[0-9]{3}"
    r"(?:\.p/[1-9][0-9]{0,2})?"
)


class TileSource(Protocol):
    """Where a ledger's files are read: a folder, or a server (`http.client.HttpSource`)."""

    def read(self, path: str) -> bytes | None:
        """Give a resource (`checkpoint`, `tile/…`), or None where there is none.

        Raises:
            LedgerUnavailable: the source can't be reached.
        """


class DirectorySource:
    """A ledger's files in a folder of this machine.

    Args:
        root: the folder that holds `checkpoint` and `tile/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes | None:
        """See TileSource."""
        if _RESOURCE.fullmatch(path) is None:
            raise FormatError(f"{path!r} is no resource of a ledger")
        try:
            with open(self.root / path, "rb", opener=_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                data = file.read(_MAX_RESOURCE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as fault:
            raise LedgerUnavailable(
                f"{path} of the ledger in {self.root} can't be read: {fault.strerror}"
            ) from fault
        if len(data) > _MAX_RESOURCE_BYTES:
            raise FormatError(f"{path} is larger than any file of a ledger")
        return data


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe under its name must not make us wait."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Give a tile's path; 0 ≤ level < 64, 0 ≤ index, 1 ≤ width ≤ 256."""
    return f"tile/{level}/{_numbered(index, width)}"


def entries_path(index: int, width: int = WIDTH) -> str:
    """Give an entry bundle's path."""
    return f"tile/entries/{_numbered(index, width)}"


def _numbered(index: int, width: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return name if width == WIDTH else f"{name}.p/{width}"


def pack_entries(entries: list[bytes]) -> bytes:
    """Give a bundle's bytes."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def unpack_entries(data: bytes, width: int, what: str = "entry bundle") -> list[bytes]:
    """Read a bundle of exactly `width` entries.

    Raises:
        FormatError: it ends early, or goes on.
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if at + 2 > len(data) or end > len(data):
            raise FormatError(f"{what} ends within entry {len(entries)}")
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data):
        raise FormatError(f"{what} goes on after its {width} entries")
    return entries


class Tiles:
    """A ledger's tree and entries at one size, read from its tiles.

    Reads at most one tile a level and one bundle at a time, and keeps a few.

    Args:
        source: where the files are.
        size: entries of the tree; the source holds at least these.
    """

    def __init__(self, source: TileSource, size: int) -> None:
        self.source = source
        self.size = size
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def root(self, size: int | None = None) -> bytes:
        """Give the root of the first `size` entries (default: of all)."""
        return merkle.root_from(self.node, self.size if size is None else size)

    def inclusion_path(self, index: int, size: int | None = None) -> list[bytes]:
        """Give the inclusion proof of an entry in the first `size` entries (default: all)."""
        return merkle.inclusion_path_from(self.node, index, self.size if size is None else size)

    def consistency_path(self, old_size: int) -> list[bytes]:
        """Give the proof that this tree begins with that of `old_size` entries."""
        return merkle.consistency_path_from(self.node, old_size, self.size)

    def node(self, level: int, index: int) -> bytes:
        """Give the hash of a complete subtree.

        Raises:
            LedgerUnavailable: the tile is not there.
            FormatError: the tile has another length.
        """
        tile_level, inner = divmod(level, 8)
        first = index << inner
        hashes = self.tile(tile_level, first // WIDTH)
        at = first % WIDTH * HASH_BYTES
        row = hashes[at : at + (HASH_BYTES << inner)]
        return merkle.root(row[i : i + HASH_BYTES] for i in range(0, len(row), HASH_BYTES))

    def tile(self, level: int, index: int) -> bytes:
        """Give a tile's hashes, as many as there are at this size."""
        kept = self._cache.get((level, index))
        if kept is None:
            width = min(WIDTH, (self.size >> (8 * level)) - index * WIDTH)
            kept = self._tile(level, index, width)
            self._cache[level, index] = kept
            if len(self._cache) > _CACHED_TILES:
                self._cache.popitem(last=False)
        return kept

    def bundle(self, index: int) -> list[bytes]:
        """Give the entries of a bundle, as many as there are at this size."""
        width = min(WIDTH, self.size - index * WIDTH)
        data = self.source.read(entries_path(index, width))
        if data is None and width < WIDTH:
            data = self.source.read(entries_path(index))
            if data is not None:  # the partial one was removed once the full one was there
                return unpack_entries(data, WIDTH, entries_path(index))[:width]
        if data is None:
            raise _missing(entries_path(index, width))
        return unpack_entries(data, width, entries_path(index, width))

    def entry(self, index: int) -> bytes:
        """Give one entry's bytes; 0 ≤ index < size."""
        if not 0 <= index < self.size:
            raise FormatError(f"entry {index} is not in a ledger of {self.size} entries")
        return self.bundle(index // WIDTH)[index % WIDTH]

    def entries(self, start: int = 0) -> Iterator[bytes]:
        """Give the entries from `start` on, bundle after bundle."""
        for index in range(start // WIDTH, -(-self.size // WIDTH)):
            skipped = max(0, start - index * WIDTH)
            yield from self.bundle(index)[skipped:]

    def _tile(self, level: int, index: int, width: int) -> bytes:
        path = tile_path(level, index, width)
        data = self.source.read(path)
        if data is None and width < WIDTH:
            data = self.source.read(tile_path(level, index))
            if data is not None and len(data) == WIDTH * HASH_BYTES:
                data = data[: width * HASH_BYTES]
        if data is None:
            raise _missing(path)
        if len(data) != width * HASH_BYTES:
            raise FormatError(f"{path} has {len(data)} bytes, want {width * HASH_BYTES}")
        return data


def _missing(path: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"the ledger lacks {path}", code="tile-missing")


def write_tiles(
    root: Path,
    old_size: int,
    size: int,
    entries: Callable[[int], Iterator[bytes]],
    hook: Hook = no_hook,
) -> None:
    """Write what a ledger's growth adds to its folder; done again, it does no harm.

    Args:
        root: the folder.
        old_size: up to where its tiles are written and synced; 0 ≤ old_size ≤ size.
        size: up to where they shall be.
        entries: gives the entries from an index on, at least up to `size`.
        hook: called before each file, and before partial files are dropped.
    """
    if size == old_size:
        return
    folders: set[Path] = set()
    first = old_size // WIDTH
    coming = entries(first * WIDTH)
    for index in range(first, -(-size // WIDTH)):
        width = min(WIDTH, size - index * WIDTH)
        bundle = [next(coming) for _ in range(width)]
        hashes = b"".join(map(merkle.leaf_hash, bundle))
        hook("bundle")
        write_file(root / entries_path(index, width), pack_entries(bundle), folders)
        hook("tile")
        write_file(root / tile_path(0, index, width), hashes, folders)
    level = 1
    while size >> (8 * level):
        hook("tile")
        _write_level(root, level, old_size, size, folders)
        level += 1
    sync_folders(folders)
    hook("drop-partial")
    _drop_partial(root, old_size, size)


def keep_size(tree: Tiles, root: Path, size: int) -> None:
    """Have the partial files of a smaller size in a folder too, so that it can be read at that.

    Args:
        tree: the folder's tree, at a size that is not smaller.
        root: the folder.
        size: the smaller size.
    """
    folders: set[Path] = set()
    level = 0
    while size >> (8 * level):
        index, width = divmod(size >> (8 * level), WIDTH)
        if width and not (root / tile_path(level, index)).exists():
            hashes = tree.tile(level, index)[: width * HASH_BYTES]
            write_file(root / tile_path(level, index, width), hashes, folders)
            if level == 0:
                bundle = pack_entries(tree.bundle(index)[:width])
                write_file(root / entries_path(index, width), bundle, folders)
        level += 1
    sync_folders(folders)


def _write_level(root: Path, level: int, old_size: int, size: int, folders: set[Path]) -> None:
    below = Tiles(DirectorySource(root), size)
    have, want = old_size >> (8 * level), size >> (8 * level)
    if want == have:
        return
    for index in range(have // WIDTH, -(-want // WIDTH)):
        width = min(WIDTH, want - index * WIDTH)
        hashes = _kept(root, level, index, have - index * WIDTH)
        for at in range(len(hashes) // HASH_BYTES, width):
            hashes += _full_root(below, level - 1, index * WIDTH + at)
        write_file(root / tile_path(level, index, width), hashes, folders)


def _full_root(tiles: Tiles, level: int, index: int) -> bytes:
    row = tiles.tile(level, index)
    return merkle.root(row[i : i + HASH_BYTES] for i in range(0, len(row), HASH_BYTES))


def _kept(root: Path, level: int, index: int, width: int) -> bytes:
    """Give the hashes of the partial tile that is there already; none where it is not whole."""
    if width <= 0:
        return b""
    data = DirectorySource(root).read(tile_path(level, index, width))
    return data if data is not None and len(data) == width * HASH_BYTES else b""


def _drop_partial(root: Path, old_size: int, size: int) -> None:
    """Remove partial files whose full one is there: readers of older sizes fall back to it."""
    level = 0
    while size >> (8 * level):
        for index in range((old_size >> (8 * level)) // WIDTH, (size >> (8 * level)) // WIDTH):
            names = [tile_path(level, index)] + ([entries_path(index)] if level == 0 else [])
            for name in names:
                folder = root / f"{name}.p"
                with suppress(OSError):  # a reader's loss of speed at most
                    for file in folder.iterdir():
                        file.unlink(missing_ok=True)
                    folder.rmdir()
        level += 1
