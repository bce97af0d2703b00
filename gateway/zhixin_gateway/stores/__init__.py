"""Where versions lie: a folder of this machine, or an object store.

====================  ==============================================================================
``protocol``          `Store`: what every other module asks of the place where versions lie
``local``             `LocalStore`: a folder; a version appears by one rename
``objectstore``       `ObjectStore`: any URL that pyarrow.fs opens; its receipt is written last
``objects``           what an object store is asked, and what its refusals are called
``objectsink``        parts that go straight to an object store while they are written
``trial``             what ``zhixin doctor`` tries of a store
====================  ==============================================================================

docs/stores.md says how an object store is set up. Only `LocalStore` is imported with this package:
a home whose versions lie in a folder never loads pyarrow for them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from zhixin_gateway.stores.local import LocalStore
from zhixin_gateway.stores.protocol import Place, Store

if TYPE_CHECKING:
    from zhixin_gateway.stores.objectstore import ObjectStore

__all__ = ["LocalStore", "Place", "Store", "is_url", "open_store"]


def is_url(place: Path | str) -> bool:
    """Whether a place is an object store's address, and not a path of this machine."""
    return isinstance(place, str) and "://" in place and not place.startswith("file:")


def open_store(
    place: Path | str, environ: Mapping[str, str] = os.environ
) -> LocalStore | ObjectStore:
    """Open a store; nothing is reached until it is used.

    Args:
        place: a folder, or an address such as ``s3://bucket/prefix?region=cn-north-1``.
        environ: where credentials stand.

    Raises:
        ConfigError: the address can't be used.
    """
    if isinstance(place, str) and is_url(place):
        from zhixin_gateway.stores.objectstore import ObjectStore

        return ObjectStore(place, environ)
    if isinstance(place, str) and place.startswith("file:"):
        place = unquote(urlsplit(place).path)
    return LocalStore(Path(place))
