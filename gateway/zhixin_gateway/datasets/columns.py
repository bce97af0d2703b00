"""Whether a Parquet file's columns are exactly a version's fields.

Section 2.2 of the formats: the manifest's columns, in its order, each of the one physical and
logical type that stands for the field's, optional at every level but a list's repeated group, and
no ``ARROW:schema`` metadata, so that every reader sees the same types::

    optional binary carrier (STRING)
    optional group deep (LIST) {
      repeated group list {                 the inner names are free
        optional group element {            a struct: its members by name, in order
          optional double x
        }
      }
    }
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from zhixin_errors import VerificationError

from zhixin_gateway.datasets.footer import Element, Physical, Repetition

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from zhixin_gateway.datasets.footer import Footer

__all__ = ["Leaf", "match_columns"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column that holds values: one scalar of a field, however deep.

    Attributes:
        path: Parquet's names from the field down.
        arrow: the scalar's type.
        physical: how it is stored.
        lists: within how many lists it lies.
    """

    path: tuple[str, ...]
    arrow: pa.DataType
    physical: Physical
    lists: int

    @property
    def nested(self) -> bool:
        """Whether it lies within a list."""
        return self.lists > 0

    @property
    def levels(self) -> tuple[int, int]:
        """The highest repetition and definition level: all but a repeated group is optional."""
        return self.lists, len(self.path)


def match_columns(footer: Footer, schema: pa.Schema) -> tuple[Leaf, ...]:
    """Hold a file's schema to the fields.

    Args:
        footer: the file's.
        schema: the manifest's fields.

    Returns:
        The columns that hold values, in the file's order.

    Raises:
        VerificationError: anything differs (``record``).
    """
    if b"ARROW:schema" in footer.metadata_keys:
        raise _fault("the file has ARROW:schema metadata: readers would see different types")
    walk = _Walk(footer.elements)
    root = walk.next()
    if root.children != len(schema):
        raise _fault(f"the file has {root.children} columns, the manifest {len(schema)} fields")
    walk.members(schema, (), lists=0)
    walk.end()
    return tuple(walk.leaves)


class _Walk:
    """The file's schema elements, taken one by one in depth-first order."""

    def __init__(self, elements: tuple[Element, ...]) -> None:
        self._elements = elements
        self._at = 0
        self.leaves: list[Leaf] = []

    def next(self) -> Element:
        if self._at == len(self._elements):
            raise _fault("the file's schema ends early")
        self._at += 1
        return self._elements[self._at - 1]

    def end(self) -> None:
        if self._at != len(self._elements):
            raise _fault("the file's schema has columns that no field stands for")

    def members(
        self, fields: Iterable[pa.Field[Any]], path: tuple[str, ...], *, lists: int
    ) -> None:
        for field in fields:
            element = self.next()
            place = ".".join((*path, field.name))[:200]
            if element.name != field.name:
                raise _fault(f"column {element.name[:80]!r} stands where field {place!r} belongs")
            self._value(element, field.type, (*path, field.name), place, lists=lists)

    def _value(
        self,
        element: Element,
        arrow: pa.DataType,
        path: tuple[str, ...],
        place: str,
        *,
        lists: int,
    ) -> None:
        if element.repetition != Repetition.OPTIONAL:
            raise _fault(f"column {place!r} is not optional")
        if isinstance(arrow, pa.ListType):
            self._list(element, arrow, path, place, lists=lists)
        elif isinstance(arrow, pa.StructType):
            _want(element, place, annotation=None, children=arrow.num_fields)
            self.members(arrow, path, lists=lists)
        else:
            self._leaf(element, arrow, path, place, lists=lists)

    def _list(
        self,
        element: Element,
        arrow: pa.ListType[Any],
        path: tuple[str, ...],
        place: str,
        *,
        lists: int,
    ) -> None:
        _want(element, place, annotation=("LIST",), children=1)
        middle = self.next()
        if middle.repetition != Repetition.REPEATED:
            raise _fault(f"column {place!r} is no list of three levels")
        _want(middle, place, annotation=None, children=1)
        item = self.next()
        deeper = (*path, middle.name, item.name)
        self._value(item, arrow.value_type, deeper, f"{place}[]", lists=lists + 1)

    def _leaf(
        self,
        element: Element,
        arrow: pa.DataType,
        path: tuple[str, ...],
        place: str,
        *,
        lists: int,
    ) -> None:
        if element.children or element.physical is None:
            raise _fault(f"column {place!r} is a group where a value belongs")
        if (element.physical, element.annotation) not in _allowed(arrow):
            raise _fault(f"column {place!r} is not stored as its field's type, {arrow}")
        if element.physical == Physical.FIXED_LEN_BYTE_ARRAY and not 1 <= element.type_length <= 16:
            raise _fault(f"column {place!r} has decimals of {element.type_length} bytes")
        self.leaves.append(Leaf(path, arrow, Physical(element.physical), lists))


def _want(
    element: Element, place: str, *, annotation: tuple[Any, ...] | None, children: int
) -> None:
    if element.physical is not None or element.children < 1:
        raise _fault(f"column {place!r} holds values where its field is a list or struct")
    if element.annotation != annotation or element.children != children:
        raise _fault(f"column {place!r} is another group than its field's type")


def _allowed(arrow: pa.DataType) -> set[tuple[int, tuple[Any, ...] | None]]:
    """Physical type and annotation that may stand for a scalar."""
    if isinstance(arrow, pa.Decimal128Type):
        annotation = ("DECIMAL", arrow.precision, arrow.scale)
        kinds = (
            Physical.INT32,
            Physical.INT64,
            Physical.FIXED_LEN_BYTE_ARRAY,
            Physical.BYTE_ARRAY,
        )
        return {(kind, annotation) for kind in kinds}
    return _SCALARS[arrow]


_SCALARS: dict[pa.DataType, set[tuple[int, tuple[Any, ...] | None]]] = {
    pa.bool_(): {(Physical.BOOLEAN, None)},
    pa.int64(): {(Physical.INT64, None), (Physical.INT64, ("INTEGER", 64, True))},
    pa.uint64(): {(Physical.INT64, ("INTEGER", 64, False))},
    pa.float64(): {(Physical.DOUBLE, None)},
    pa.string(): {(Physical.BYTE_ARRAY, ("STRING",))},
    pa.binary(): {(Physical.BYTE_ARRAY, None)},
    pa.date32(): {(Physical.INT32, ("DATE",))},
    pa.time64("us"): {
        (Physical.INT64, ("TIME", "us", True)),
        (Physical.INT64, ("TIME", "us", False)),
    },
    pa.timestamp("us"): {(Physical.INT64, ("TIMESTAMP", "us", False))},
    pa.timestamp("us", tz="UTC"): {(Physical.INT64, ("TIMESTAMP", "us", True))},
}


def _fault(why: str) -> VerificationError:
    return VerificationError(why, code="record")
