"""How a field is made less telling before anything is written (docs/contracts.md, Personal data).

::

    classification: restricted
    customProperties:
      - {property: zhixin.treatment, value: {pseudonym: citizen}}       # key of that name
      - {property: zhixin.treatment, value: {generalise: {to: month}}}  # or year
      - {property: zhixin.treatment, value: {generalise: {step: 5}}}    # 17 → 15, -1 → -5
      - {property: zhixin.treatment, value: {generalise: {prefix: 6}}}  # 110105… → 110105
      - {property: zhixin.clear, value: true}                           # restricted, and meant so

Pure description: the values are made by the gateway, which has the keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from zhixin_schemas.document import Place
    from zhixin_schemas.model import Field, FieldType

__all__ = ["KEY_NAME", "Treatment", "check_treated", "read_treatment", "refuse_inside"]

KEY_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_RESTRICTED = "restricted"
_FORMS = (
    "{pseudonym: KEY}, {generalise: {to: month}}, {generalise: {step: 5}} or "
    "{generalise: {prefix: 6}}"
)
_EXACT = Context(prec=100)
_TIMES = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True)
class Treatment:
    """What becomes of a field's values.

    Args:
        how: pseudonym, or what it is generalised to.
        key: name of the pseudonym's key.
        by: the step, or the number of characters.
    """

    how: Literal["pseudonym", "month", "year", "step", "prefix"]
    key: str = ""
    by: int | Decimal = 0

    @property
    def kind(self) -> str:
        """``pseudonym`` or ``generalise``, as the contract and the quality lines say it."""
        return "pseudonym" if self.how == "pseudonym" else "generalise"

    def __str__(self) -> str:
        """Say it for people."""
        if self.how == "pseudonym":
            return f"pseudonym with the key {self.key}"
        says = {"step": f"step of {self.by}", "prefix": f"first {self.by} characters"}
        return f"generalised to the {says.get(self.how, self.how)}"


def read_treatment(place: Place, kind: FieldType) -> Treatment | None:
    """Read what a property says of its treatment; problems go to its document.

    Args:
        place: of the property.
        kind: the field's type in the source.
    """
    found, clear = _custom(place, "treatment"), _custom(place, "clear")
    if clear is not None and clear.value is not True:
        clear.report("zhixin.clear is true, or is left out")
    if found is not None and clear is not None:
        clear.report("zhixin.clear and zhixin.treatment contradict each other: leave one out")
    if found is None:
        _refuse_restricted(place, clear)
        return None
    return _read(found, kind)


def refuse_inside(place: Place) -> None:
    """Refuse what an array or object can't have inside: a treatment, or a restricted value."""
    found = _custom(place, "treatment")
    if found is not None:
        found.report("no treatment inside arrays and objects: make the value a field of its own")
    else:
        _refuse_restricted(place, _custom(place, "clear"))


def check_treated(schema_object: Place, fields: Iterable[Field], rules: Iterable[str]) -> None:
    """Hold treatments to the keys and names beside them; problems go to the document.

    Args:
        schema_object: whose properties they are.
        fields: as they were read.
        rules: names of the contract's rules.
    """
    fields, named = list(fields), set(rules)
    keys = [field for field in fields if field.key_position]
    coarse = {f.name for f in fields if f.treatment and f.treatment.kind == "generalise"}
    treated = {field.name: field.treatment for field in fields if field.treatment}
    for place in schema_object.items("properties"):
        treatment = treated.get(name := place.text("name"))
        if treatment is None:
            continue
        if f"{name}.{treatment.kind}" in named:
            place.report(
                f'"{name}.{treatment.kind}" is the name of the treatment\'s own line in the '
                "manifest; name the rule otherwise"
            )
        alone = all(field.name in coarse for field in keys) and place.flag("primaryKey")
        if name in coarse and (place.flag("unique") or alone):
            place.at("unique" if place.flag("unique") else "primaryKey").report(
                "many records come to one generalised value, so it tells none apart: "
                "use a pseudonym, or another field"
            )


def _refuse_restricted(place: Place, clear: Place | None) -> None:
    said = place.text("classification")
    if said.strip().casefold() == _RESTRICTED and clear is None:
        place.at("classification").report(
            f"restricted and written as it is: give it a zhixin.treatment, {_FORMS}, "
            "or say zhixin.clear: true"
        )


def _custom(place: Place, name: str) -> Place | None:
    """The value of a ``zhixin.*`` property, if it is said; a second one is a problem."""
    found = [
        item
        for item in place.items("customProperties")
        if item.text("property") == f"zhixin.{name}"
    ]
    for again in found[1:]:
        again.report(f"zhixin.{name} stands twice")
    return found[0].at("value") if found else None


def _read(place: Place, kind: FieldType) -> Treatment | None:
    names = place.names() if isinstance(place.value, dict) else []
    if len(names) != 1 or names[0] not in ("pseudonym", "generalise"):
        place.report(f"a treatment is {_FORMS}")
        return None
    if not isinstance(kind, str):
        place.report("an array or object has no treatment: make the value a field of its own")
        return None
    if names[0] == "pseudonym":
        return _pseudonym(place.at("pseudonym"), kind)
    inner = place.at("generalise")
    forms = inner.names() if isinstance(inner.value, dict) else []
    if len(forms) != 1 or forms[0] not in _GENERAL:
        inner.report("exactly one of to, step and prefix is wanted, such as {to: month}")
        return None
    return _GENERAL[forms[0]](inner.at(forms[0]), kind)


def _pseudonym(place: Place, kind: str) -> Treatment | None:
    if not isinstance(place.value, str) or not KEY_NAME.fullmatch(place.value):
        place.report(
            "the key's name has lowercase letters, digits and -, and begins with a letter, such "
            "as citizen; the key itself stays in the home"
        )
        return None
    if kind == "boolean":
        place.report("a pseudonym of true and false hides neither; leave the field out")
        return None
    return Treatment("pseudonym", key=place.value)


def _to(place: Place, kind: str) -> Treatment | None:
    if kind not in _TIMES:
        place.report(f"a {kind} has no month and no year; dates and timestamps have")
    elif place.value == "month":
        return Treatment("month")
    elif place.value == "year":
        return Treatment("year")
    else:
        place.report("to is month or year")
    return None


def _step(place: Place, kind: str) -> Treatment | None:
    step, scale = place.value, 0
    if kind.startswith("decimal"):
        scale = int(kind.rstrip(")").partition(",")[2])
    elif kind == "float":
        place.report(
            "the multiples of a step are not exact in a float; give the field physicalType "
            "decimal(p,s)"
        )
        return None
    elif kind not in ("integer", "unsigned"):
        place.report(f"a {kind} has no steps; whole and decimal numbers have")
        return None
    if isinstance(step, bool) or not isinstance(step, int | Decimal) or step <= 0:
        place.report("a step is a number above 0")
        return None
    exact = _EXACT.normalize(Decimal(step))
    if exact >= 2**63 or int(exact.as_tuple().exponent) < -scale:
        place.report(f"a step of this {kind} is below 2^63 and has at most {scale} decimals")
        return None
    return Treatment("step", by=exact if scale else int(exact))


def _prefix(place: Place, kind: str) -> Treatment | None:
    if kind != "string":
        place.report(f"a {kind} has no first characters; a text has")
    elif isinstance(place.value, bool) or not isinstance(place.value, int) or place.value < 1:
        place.report("prefix is a number of characters from 1")
    else:
        return Treatment("prefix", by=place.value)
    return None


_GENERAL = {"to": _to, "step": _step, "prefix": _prefix}
