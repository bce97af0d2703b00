"""Whether a store can be used, for ``zhixin doctor``: tried, not guessed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zhixin_errors import ZhixinError

if TYPE_CHECKING:
    from zhixin_gateway.stores.objectstore import ObjectStore
    from zhixin_gateway.stores.protocol import Store

__all__ = ["try_reading", "try_writing"]


def try_reading(member: str, store: Store) -> tuple[str, str]:
    """Try to list another member's store.

    Args:
        member: whose.
        store: theirs.

    Returns:
        ``ok`` or ``fail``, and a sentence.
    """
    try:
        count = len(store.datasets())
    except ZhixinError as error:
        return "fail", f"{member}: {error.message}"
    return "ok", f"{member}: {store.name} can be read, {count} datasets lie there"


def try_writing(store: ObjectStore) -> Iterator[tuple[str, str]]:
    """Write, copy, read and delete a small object of a home's own store.

    Args:
        store: its.

    Yields:
        ``ok``, ``warn`` or ``fail``, and a sentence.
    """
    name, objects = f".zhixin-doctor-{secrets.token_hex(8)}", store.objects
    try:
        objects.put(name, b"zhixin doctor")
        objects.copy(objects, name, f"{name}-copy")
        objects.listed(1)
        with objects.open(name) as file:
            whole = file.read(100) == b"zhixin doctor"
        keeps = objects.is_versioned(name)
        objects.delete(name)
        objects.delete(f"{name}-copy")
    except ZhixinError as error:
        hint = f" ({error.hint})" if error.hint else ""
        yield "fail", f"own store: {error.message}{hint}"
        return
    if not whole:
        yield "fail", f"own store: {store.name} gives other bytes than were written"
        return
    yield "ok", f"own store: {store.name} can be written, read and deleted from"
    if store.is_in_clear:
        yield "warn", f"own store: {store.name} is reached by http: its records travel in clear"
    if keeps:
        yield (
            "warn",
            f"own store: {store.name} keeps old versions of objects: what is erased stays in them "
            "until a rule of the bucket throws them away (docs/stores.md)",
        )
