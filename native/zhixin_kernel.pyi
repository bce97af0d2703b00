"""What the kernel offers; see src/lib.rs."""

from collections.abc import Callable, Sequence

import pyarrow as pa

_Part = tuple[int, int, bytes, bytes | None, bytes | None]

PROTOCOL: int
__version__: str

class Refused(ValueError): ...

class Cutter:
    def __init__(
        self,
        key: Sequence[int],
        new_salt_key: Callable[[int], bytes] | None,
        *,
        cut_bits: int,
        cut_records: int,
        max_records: int,
        cut_bytes: int,
        max_text: int,
    ) -> None: ...
    def feed(
        self, batch: pa.RecordBatch, names: list[str] | None = None
    ) -> list[tuple[int, _Part]]: ...
    def end(self) -> _Part | None: ...

class Digest:
    def __init__(self, salt_key: bytes, *, keep_leaves: bool, max_bytes: int) -> None: ...
    @property
    def records(self) -> int: ...
    @property
    def text_bytes(self) -> int: ...
    @property
    def leaves(self) -> list[bytes]: ...
    def append(self, batch: pa.RecordBatch, names: list[str] | None = None) -> None: ...
    def root(self) -> bytes: ...
    def content(self) -> bytes: ...

def texts(batch: pa.RecordBatch, names: list[str] | None = None) -> tuple[bytes, bytes]: ...
