"""Reads every rule of a contract, each under a name of its own.

Where a rule comes from, and what it is called unless the contract names it::

    float fields               price.finite        required, primaryKey       carrier.required
    minimum, maximum, widths   month.range         minLength, maxLength       name.length
    minItems, maxItems         tags.items          multipleOf                 minute.multiple
    pattern                    carrier.pattern     enum                       dst.allowed
    unique                     code.unique         primaryKey                 primary-key
    relationships              dest.reference      quality                    its name, or metric
    slaProperties              sla.latency

Severity is ``error`` unless a quality rule or a relationship's ``zhixin.severity`` says otherwise;
a rule about the whole dataset has no record to quarantine and is ``critical`` or ``warning``.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import cast

from zhixin_schemas import rules as r
from zhixin_schemas.agreements import AGES, RULE_PREFIX, hours_of
from zhixin_schemas.document import Place
from zhixin_schemas.expressions import family_of, literal_of
from zhixin_schemas.model import Field, FieldType, Relationship
from zhixin_schemas.odcs import suggestion
from zhixin_schemas.patterns import pattern_problem
from zhixin_schemas.quality_rules import QualityReader

__all__ = ["read_rules"]

_WIDTHS = {
    "i8": (-(2**7), 2**7 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
}
_REFERENCE = re.compile(
    r"(?P<member>[a-z0-9-]+(?:\.[a-z0-9-]+)+)/(?P<name>[a-z][a-z0-9-]{0,62})\.ya?ml"
    r"#/schema/[A-Za-z0-9_-]+/properties/(?P<field>[A-Za-z0-9_-]+)"
)
_OWN = re.compile(
    r"(?P<object>[A-Za-z_][A-Za-z0-9_-]*)\.(?P<field>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|/?schema/(?P<id>[A-Za-z0-9_-]+)/properties/(?P<name>[A-Za-z0-9_-]+)"
)


def read_rules(
    schema_object: Place, fields: Sequence[Field]
) -> tuple[tuple[r.Rule, ...], tuple[Relationship, ...]]:
    """Read all rules and relationships; problems go to the place's document."""
    book = _Book(schema_object, fields)
    book.read()
    return tuple(book.rules), tuple(book.relationships)


class _Book:
    """Collects rules in the order of the file."""

    def __init__(self, schema_object: Place, fields: Sequence[Field]) -> None:
        self.schema_object = schema_object
        self.fields = {f.name: f for f in fields}
        self.types: dict[str, FieldType] = {f.name: f.type for f in fields}
        self.rules: list[r.Rule] = []
        self.relationships: list[Relationship] = []
        self.names: set[str] = set()
        self.quality = QualityReader(self.types, _zone(schema_object.document.root))
        self.jumps: list[tuple[r.RateJump, Place]] = []

    def read(self) -> None:
        for place in self.schema_object.items("properties"):
            found = self.fields.get(place.text("name"))
            if found is not None:
                self._field(place, found)
        self._primary_key()
        for place in self.schema_object.items("quality"):
            for rule in self.quality.read(place, None):
                self.add(rule, place)
        for place in self.schema_object.items("relationships"):
            self._schema_relationship(place)
        for place in self.schema_object.document.root.items("slaProperties"):
            self._agreement(place)
        self._check_jumps()

    def add(self, rule: r.Rule, place: Place, *, numbered: bool = False) -> None:
        """Take a rule in; a second of the same name is a problem, or gets a number."""
        if rule.name in self.names and numbered:
            number = 2
            while f"{rule.name}-{number}" in self.names:
                number += 1
            rule = r.Rule(**{**vars(rule), "name": f"{rule.name}-{number}"})
        if rule.name in self.names:
            place.report(f'two rules are named "{rule.name}"; give each a name of its own')
            return
        self.names.add(rule.name)
        self.rules.append(rule)
        if isinstance(rule.check, r.RateJump):
            self.jumps.append((rule.check, place))

    def _row(self, place: Place, field: Field, suffix: str, check: r.RowCheck, says: str) -> None:
        message = f"{field.name} {says}"
        name = f"{field.name}.{suffix}"
        self.add(r.Rule(name, "error", "row", (field.name,), message, check), place)

    def _field(self, place: Place, field: Field) -> None:
        name = field.name
        if field.type == "float":
            self._row(place, field, "finite", r.Finite(name), "must be a finite number")
        if field.required:
            self._row(place, field, "required", r.Required(name), "must not be empty")
        options = place.at("logicalTypeOptions")
        if isinstance(field.type, str):
            self._range(options, field)
            self._length(options, field, ("minLength", "maxLength"), "length")
        elif "list" in field.type:
            self._length(options, field, ("minItems", "maxItems"), "items")
            if "uniqueItems" in options:
                options.at("uniqueItems").report("nothing checks this yet; leave it out")
        self._pattern(options, field)
        self._multiple(options, field)
        self._enum(place, field)
        if place.flag("unique"):
            check = r.Unique((name,))
            says = f"{name} must be unique"
            self.add(r.Rule(f"{name}.unique", "error", "unique", (name,), says, check), place)
        for item in place.items("quality"):
            for rule in self.quality.read(item, field):
                self.add(rule, item)
        for item in place.items("relationships"):
            self._relationship(item, (name,))

    def _primary_key(self) -> None:
        keys = sorted((f.key_position, f.name) for f in self.fields.values() if f.key_position)
        names = tuple(name for _, name in keys)
        if names:
            says = f"the key ({', '.join(names)}) must be unique"
            check = r.Unique(names)
            rule = r.Rule("primary-key", "error", "unique", names, says, check)
            self.add(rule, self.schema_object)

    # ---- about the whole

    def _agreement(self, place: Place) -> None:
        """A service level about the age of a field becomes a rule; by default it only warns."""
        named = place.text("property")
        element = place.text("element").rpartition(".")[2]
        value = place.number("value")
        hours = None if value is None else hours_of(value, place.text("unit"))
        if named.lower() not in AGES or not hours or self.quality.no_time(element):
            return
        says = f"the newest {element} must be at most {hours.normalize():f} hours old"
        check = r.Freshness(element, hours, self.quality.zone or "UTC")
        severity = _severity(place, default="warning")
        if severity == "error":
            place.report("a rule about the whole dataset is critical or warning")
        name = f"{RULE_PREFIX}{named}"
        rule = r.Rule(name, severity, "dataset", (element,), says, check)
        self.add(rule, place, numbered=True)

    def _check_jumps(self) -> None:
        """Look the rules up whose rates must not jump: those that count records."""
        counted = [rule.name for rule in self.rules if rule.kind not in ("dataset", "external")]
        for check, place in self.jumps:
            if check.rule and check.rule not in counted:
                place.at("implementation").at("rule").report(
                    f'no rule "{check.rule}" counts records{suggestion(check.rule, counted)}'
                )

    # ---- logicalTypeOptions

    def _range(self, options: Place, field: Field) -> None:
        low = self._bound(options, field, "minimum", "exclusiveMinimum")
        high = self._bound(options, field, "maximum", "exclusiveMaximum")
        ends = _WIDTHS.get(options.text("format")) if field.type == "integer" else None
        if ends is not None:
            low = low if low and cast("Decimal", low.value) >= ends[0] else r.Bound(ends[0])
            high = high if high and cast("Decimal", high.value) <= ends[1] else r.Bound(ends[1])
        if low is None and high is None:
            return
        if low and high and _empty(low, high):
            options.report("no value lies in this range: the minimum is above the maximum")
            return
        if _holds_none(r.Range(field.name, low, high), field.type):
            options.report(f"no value of the field's type, {field.type}, lies in this range")
            return
        says = f"must be {_range_words(low, high)}"
        self._row(options, field, "range", r.Range(field.name, low, high), says)

    def _bound(self, options: Place, field: Field, plain: str, exclusive: str) -> r.Bound | None:
        if plain in options and exclusive in options:
            options.at(exclusive).report(f"{plain} and {exclusive} together; one is enough")
        key = exclusive if exclusive in options else plain
        if key not in options:
            return None
        value = _typed(options.at(key), field.type)
        return None if value is None else r.Bound(value, exclusive=key == exclusive)

    def _length(self, options: Place, field: Field, keys: tuple[str, str], suffix: str) -> None:
        low, high = (cast("int | None", options.number(key)) for key in keys)
        if low is None and high is None:
            return
        if low is not None and high is not None and low > high:
            options.report(f"{keys[0]} is above {keys[1]}")
            return
        unit = {"length": "bytes" if field.type == "binary" else "characters"}.get(suffix, suffix)
        ends = [f"at least {low}" if low is not None else "", f"at most {high}" if high is not None
                else ""]  # fmt: skip
        says = f"must have {' and '.join(e for e in ends if e)} {unit}"
        kind = r.Length if suffix == "length" else r.Items
        self._row(options, field, suffix, kind(field.name, low, high), says)

    def _pattern(self, options: Place, field: Field) -> None:
        pattern = options.text("pattern")
        if "pattern" not in options or not isinstance(options.at("pattern").value, str):
            return
        if field.type != "string":
            options.at("pattern").report("only a text field has a pattern")
            return
        problem = pattern_problem(pattern)
        if problem:
            options.at("pattern").report(problem)
            return
        says = f"must have the form {pattern}"
        self._row(options, field, "pattern", r.Pattern(field.name, pattern), says)

    def _multiple(self, options: Place, field: Field) -> None:
        if "multipleOf" not in options:
            return
        divisor = options.number("multipleOf")
        place = options.at("multipleOf")
        if field.type != "integer" or divisor is None or divisor != int(divisor) or divisor < 1:
            place.report("multipleOf is checked for integers, by a whole number from 1")
            return
        says = f"must be a multiple of {int(divisor)}"
        self._row(place, field, "multiple", r.MultipleOf(field.name, int(divisor)), says)

    def _enum(self, place: Place, field: Field) -> None:
        if "enum" not in place:
            return
        if place.document.root.text("apiVersion") == "v3.1.0":
            place.at("enum").report("enum came with apiVersion v3.2.0; say that, or invalidValues")
            return
        listed = [item.at("value") for item in place.items("enum") if isinstance(item.value, dict)]
        values = allowed_values(listed, field)
        if values:
            says = "must be one of the allowed values"
            self._row(place, field, "allowed", r.Allowed(field.name, values), says)

    # ---- relationships

    def _schema_relationship(self, place: Place) -> None:
        names = [self._own_field(item) for item in _listed(place.at("from"))]
        fields = [name for name in names if name is not None]
        if fields and len(fields) == len(names):
            self._relationship(place, tuple(fields))

    def _own_field(self, place: Place) -> str | None:
        """The field of this contract that a reference names."""
        found = _OWN.fullmatch(place.value) if isinstance(place.value, str) else None
        own = self.schema_object.text("name")
        if found is None or (found["object"] or found["id"]) != own:
            place.report(f"no field of this contract; write {own}.<field>")
            return None
        name = found["field"] or found["name"]
        if name not in self.fields:
            place.report(f"no field of this contract{suggestion(name, self.fields)}")
            return None
        return name

    def _relationship(self, place: Place, names: tuple[str, ...]) -> None:
        to = place.at("to")
        found = [self._target(item) for item in _listed(to)]
        targets = [each for each in found if each is not None]
        if len(targets) != len(found) or not targets:
            return
        datasets = {dataset for dataset, _ in targets}
        if len(targets) != len(names) or len(datasets) != 1:
            to.report("as many fields as in from are wanted, all of one dataset")
            return
        (dataset,) = datasets
        there = tuple(name for _, name in targets)
        if any(not isinstance(self.types[name], str) for name in names):
            place.report("an array or object can't refer to another dataset")
            return
        own = dataset == self.schema_object.document.root.text("id")
        if own and not self._alike(to, names, there):
            return
        severity, says = _severity(place), f"{', '.join(names)} must stand in {', '.join(there)}"
        says += " of this dataset" if own else f" of {dataset}"
        name = place.text("id") or f"{'-'.join(names)}.reference"
        check = r.Reference(names, dataset, there)
        rule = r.Rule(name, severity, "relationship", names, says, check)
        self.add(rule, place, numbered=not place.text("id"))
        named = self.rules[-1].name
        self.relationships.append(Relationship(named, names, dataset, there, severity))

    def _target(self, place: Place) -> tuple[str, str] | None:
        """Dataset and field that a reference points to."""
        found = _REFERENCE.fullmatch(place.value) if isinstance(place.value, str) else None
        if found is not None:
            return f"{found['member']}/{found['name']}", found["field"]
        own = _OWN.fullmatch(place.value) if isinstance(place.value, str) else None
        if own is not None and (own["object"] or own["id"]) == self.schema_object.text("name"):
            name = self._own_field(place)
            return None if name is None else (self.schema_object.document.root.text("id"), name)
        place.report(
            "a relationship points to another dataset, "
            "member/dataset.yaml#/schema/object/properties/field, or to a field of this one, "
            f"{self.schema_object.text('name')}.<field>"
        )
        return None

    def _alike(self, to: Place, names: tuple[str, ...], there: tuple[str, ...]) -> bool:
        """Whether fields and targets of this dataset can be compared as they are written."""
        for name, target in zip(names, there, strict=True):
            if target not in self.fields:
                to.report(f"this dataset has no field {target}")
                return False
            one, two = self.fields[name], self.fields[target]
            if (one.type, one.treatment) != (two.type, two.treatment):
                to.report(f"{name} and {target} must have the same type and treatment")
                return False
        return True


def _listed(place: Place) -> list[Place]:
    """A reference or a list of them, as a list."""
    return list(place) if isinstance(place.value, list) else [place]


def _zone(root: Place) -> str:
    """The zone of the source's times that carry none, as the server says it."""
    for server in root.items("servers")[:1]:
        for item in server.items("customProperties"):
            if item.text("property") == "zhixin.timezone":
                return item.text("value")
    return ""


def _severity(place: Place, default: r.Severity = "error") -> r.Severity:
    for item in place.items("customProperties"):
        if item.text("property") != "zhixin.severity":
            continue
        value = item.at("value").value
        if value in r.SEVERITIES:
            return value
        item.at("value").report("zhixin.severity is error, warning or critical")
    return default


def _holds_none(check: r.Range, kind: FieldType) -> bool:
    """Whether a range lies between two values of the type, or beyond all."""
    from zhixin_schemas.arrow import arrow_type
    from zhixin_schemas.bounds import inclusive_range

    return inclusive_range(check, arrow_type(kind)).empty


def _can_be(value: r.Value, kind: FieldType) -> bool:
    """Whether the type can say a value of the contract: no integer is 1.5."""
    from zhixin_schemas.arrow import arrow_type
    from zhixin_schemas.bounds import value_set

    return len(value_set([value], arrow_type(kind))) > 0


def allowed_values(places: Sequence[Place], field: Field) -> tuple[r.Value, ...]:
    """Read values of a field's type, each once; problems go to their places."""
    values: dict[r.Value, None] = {}
    for place in places:
        value = _typed(place, field.type)
        if value is None:
            continue
        if not _can_be(value, field.type):
            place.report(f"no value of the field's type, {field.type}, can be this")
        if value in values:
            place.report("this value is listed twice")
        values[value] = None
    return tuple(values)


def _typed(place: Place, kind: FieldType) -> r.Value | None:  # noqa: PLR0911
    """Read a value of the contract as one of the field's type."""
    value = place.value
    found = family_of(kind)
    if found is None or value is None:
        place.report("no value of this field's type")
        return None
    family = found[0]
    if (
        family in ("exact", "float")
        and isinstance(value, int | Decimal)
        and not isinstance(value, bool)
    ):
        if family == "float" and not math.isfinite(float(value)):
            place.report("beyond the greatest float, about 1.8e308; leave it out")
            return None
        return value
    if family == "boolean" and isinstance(value, bool):
        return value
    if family == "string" and isinstance(value, str):
        return value
    if family in ("date", "time", "timestamp", "timestamptz") and isinstance(value, str):
        try:
            return literal_of(value, family)
        except ValueError:
            place.report(f"no {family}; write it as {_EXAMPLES[family]}")
            return None
    place.report(f"no value of this field's type, {kind}")
    return None


_EXAMPLES = {
    "date": "2013-01-31",
    "time": "08:30:00",
    "timestamp": "2013-01-31T08:30:00",
    "timestamptz": "2013-01-31T08:30:00Z",
}


def _empty(low: r.Bound, high: r.Bound) -> bool:
    strict = low.exclusive or high.exclusive
    return bool(low.value >= high.value if strict else low.value > high.value)  # type: ignore[operator]


def _words(value: r.Value) -> str:
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _range_words(low: r.Bound | None, high: r.Bound | None) -> str:
    words = []
    if low:
        words.append(f"{'above' if low.exclusive else 'at least'} {_words(low.value)}")
    if high:
        words.append(f"{'below' if high.exclusive else 'at most'} {_words(high.value)}")
    return " and ".join(words)
