"""Reads the ``quality`` entries of a contract.

::

    - {type: library, metric: invalidValues, arguments: {validValues: [N, S]}, mustBe: 0}
    - {type: library, metric: nullValues, mustBeLessThan: 5, unit: percent, severity: warning}
    - {type: custom, engine: zhixin, name: lands-after-it-took-off, implementation: "…"}
    - {type: custom, engine: zhixin, implementation: {metric: freshness, field: day, hours: 48}}
    - {type: custom, engine: zhixin, implementation: {metric: rowCountChange, unit: percent, …}}
    - {type: custom, engine: zhixin, implementation: {metric: rejectRate, mustNotJumpBy: 2, …}}
    - {type: custom, engine: greatExpectations, implementation: {expectation: …, arguments: {…}}}
    - {type: text, description: for people; checks nothing}

With ``mustBe: 0`` a metric is a rule for each record; with another threshold one for the dataset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import cast

from zhixin_errors import ContractError

from zhixin_schemas import rules as r
from zhixin_schemas.agreements import RULE_PREFIX
from zhixin_schemas.document import Place
from zhixin_schemas.expressions import family_of, parse_expression
from zhixin_schemas.model import Field, FieldType
from zhixin_schemas.odcs import suggestion
from zhixin_schemas.patterns import pattern_problem

__all__ = ["OPERATORS", "WHOLE", "QualityReader"]

OPERATORS = (
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
)
_ARGUMENTS = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
    "rowCount": (),
}
_UNREAD = {
    "text": ("metric", "rule", "arguments", "engine", "implementation", "query", *OPERATORS),
    "custom": ("metric", "rule", "arguments", "query", *OPERATORS),
    "library": ("rule", "engine", "implementation", "query"),
}
_WORDS_OF_RULE = "ODCS has replaced rule by metric; write metric, of a rule of type library"
_EXTERNAL = ("expectation", "arguments")  # or type and kwargs, as Great Expectations writes them
WHOLE = {
    "freshness": ("field", "hours"),
    "rejectedRows": ("unit", *OPERATORS),
    "rowCountChange": ("unit", *OPERATORS),
    "rejectRate": ("versions", "mustNotJumpBy"),
    "failureRate": ("rule", "versions", "mustNotJumpBy"),
}
"""What may be asked of the whole dataset, with the arguments of each."""

MOST_VERSIONS = 100
"""As many of the last versions a rate is compared with, at most."""

_EXPECTATION = re.compile(r"(expect_[a-z_]+|Expect[A-Za-z]+)")


class QualityReader:
    """Reads one quality entry at a time.

    Args:
        types: manifest type of each field of the contract.
        zone: in which the source's times are that carry none; empty where nobody says.
    """

    def __init__(self, types: Mapping[str, FieldType], zone: str = "") -> None:
        self.types = types
        self.zone = zone

    def read(self, place: Place, field: Field | None) -> list[r.Rule]:
        """Give the entry's rules: none where it is for people, or has a problem.

        Args:
            place: the entry.
            field: whose ``quality`` it stands in; None for the schema object's.
        """
        kind = place.text("type") or "library"
        for key in _UNREAD.get(kind, ()):
            if key in place:
                place.at(key).report(_WORDS_OF_RULE if key == "rule" else _not_of(kind))
        if kind == "text":
            return []
        if kind == "sql":
            place.report(
                "rules of type sql are not run: they would need the source's own dialect; write "
                "type: custom, engine: zhixin with an expression across fields, or type: text to "
                "keep it as words"
            )
            return []
        rule = self._custom(place, field) if kind == "custom" else self._library(place, field)
        return [] if rule is None else [rule]

    # ---- type: library

    def _library(self, place: Place, field: Field | None) -> r.Rule | None:
        metric = place.text("metric")
        if "metric" not in place:
            place.report("the key metric is missing")
        if not self._close(place.at("arguments"), _ARGUMENTS.get(metric, ())):
            return None
        threshold = self._threshold(place)
        if threshold is None or metric not in _ARGUMENTS:
            return None
        if metric == "rowCount":
            return self._row_count(place, field, threshold)
        if metric == "duplicateValues":
            return self._duplicates(place, field, threshold)
        if field is None:
            place.report(f"{metric} looks at one field; put it under that property")
            return None
        check = self._metric(place, metric, field)
        return None if check is None else self._counted(place, field, metric, check, threshold)

    def _row_count(
        self, place: Place, field: Field | None, threshold: r.Threshold
    ) -> r.Rule | None:
        if field is not None:
            place.report("rowCount counts records; put it under the schema object")
            return None
        return self._whole(place, "row-count", (), r.RowCount(threshold), "the row count")

    def _counted(
        self, place: Place, field: Field, metric: str, check: r.RowCheck, threshold: r.Threshold
    ) -> r.Rule:
        """Make a rule for each record (none may break it) or for their number."""
        name = f"{field.name}.{metric}"
        if threshold == r.Threshold(r.Bound(0), r.Bound(0)):
            says = {"nullValues": "must not be empty", "missingValues": "must not be missing"}
            message = f"{field.name} {says.get(metric, 'must be a valid value')}"
            return self._rule(place, name, "row", (field.name,), message, check)
        within = r.WithinThreshold(check, threshold, percent=self._percent(place))
        return self._whole(place, name, (field.name,), within, f"{metric} of {field.name}")

    def _metric(self, place: Place, metric: str, field: Field) -> r.RowCheck | None:
        arguments = place.at("arguments")
        if metric == "nullValues":
            return r.Required(field.name)
        if metric == "missingValues":
            words = [i for i in arguments.items("missingValues") if i.value is not None]
            return r.Missing(field.name, self._values(words, field))
        if ("validValues" in arguments) == ("pattern" in arguments):
            place.report("invalidValues has the argument validValues or pattern, and one of them")
            return None
        if "pattern" in arguments:
            return self._pattern(arguments, field)
        values = self._values(arguments.items("validValues"), field)
        if not values:
            arguments.at("validValues").report("a list of allowed values is wanted")
            return None
        return r.Allowed(field.name, values)

    def _pattern(self, arguments: Place, field: Field) -> r.Pattern | None:
        problem = pattern_problem(arguments.text("pattern"))
        if field.type != "string":
            problem = "only a text field has a pattern"
        if problem:
            arguments.at("pattern").report(problem)
            return None
        return r.Pattern(field.name, arguments.text("pattern"))

    def _values(self, places: Sequence[Place], field: Field) -> tuple[r.Value, ...]:
        from zhixin_schemas.rulebook import allowed_values

        return allowed_values(places, field)

    def _duplicates(
        self, place: Place, field: Field | None, threshold: r.Threshold
    ) -> r.Rule | None:
        if threshold != r.Threshold(r.Bound(0), r.Bound(0)):
            place.report("duplicateValues is checked with mustBe: 0 only")
            return None
        if field is not None:
            names: tuple[str, ...] = (field.name,)
        else:
            listed = place.at("arguments").items("properties")
            names = tuple(i.value for i in listed if isinstance(i.value, str))
            if not names:
                place.report("duplicateValues names its fields in arguments.properties")
                return None
            for item in listed:
                if item.value not in self.types:
                    item.report(f"no field{suggestion(str(item.value), self.types)}")
                    return None
        if any(not isinstance(self.types[name], str) for name in names):
            place.report("arrays and objects can't be unique")
            return None
        message = f"{', '.join(names)} must be unique"
        return self._rule(
            place, f"{'-'.join(names)}.duplicateValues", "unique", names, message, r.Unique(names)
        )

    def _close(self, place: Place, known: Sequence[str]) -> bool:
        """Refuse arguments that the standard leaves open and nothing would read."""
        unknown = [key for key in place.names() if key not in known]
        for key in unknown:
            place.at(key).report(f"unknown argument{suggestion(key, known)}")
        return not unknown

    def _threshold(self, place: Place) -> r.Threshold | None:
        given = [key for key in OPERATORS if key in place]
        if len(given) != 1:
            return None  # the standard has reported it
        key = given[0]
        if key in ("mustBeBetween", "mustNotBeBetween"):
            ends = [i.value for i in place.items(key) if _is_number(i.value)]
            if len(ends) != 2:
                return None
            least, most = (cast("int | Decimal", end) for end in ends)
            if least > most:
                place.at(key).report("the smaller number stands first")
                return None
            low, high = r.Bound(least), r.Bound(most)
            return r.Threshold(low, high, negated=key == "mustNotBeBetween")
        value = place.number(key)
        if value is None:
            place.at(key).report("a number is wanted")
            return None
        return {
            "mustBe": r.Threshold(r.Bound(value), r.Bound(value)),
            "mustNotBe": r.Threshold(r.Bound(value), r.Bound(value), negated=True),
            "mustBeGreaterThan": r.Threshold(low=r.Bound(value, exclusive=True)),
            "mustBeGreaterOrEqualTo": r.Threshold(low=r.Bound(value)),
            "mustBeLessThan": r.Threshold(high=r.Bound(value, exclusive=True)),
            "mustBeLessOrEqualTo": r.Threshold(high=r.Bound(value)),
        }[key]

    def _percent(self, place: Place) -> bool:
        unit = place.at("unit").value
        if "unit" in place and unit not in ("rows", "percent"):
            place.at("unit").report("the unit is rows or percent")
        return unit == "percent"

    # ---- type: custom

    def _custom(self, place: Place, field: Field | None) -> r.Rule | None:
        engine = place.text("engine")
        implementation = place.at("implementation")
        if engine == "greatExpectations":
            return self._external(place, implementation)
        if engine != "zhixin":
            if "engine" in place:
                place.at("engine").report(
                    "the engine is zhixin or greatExpectations; type: text keeps a rule as words"
                )
            return None
        if isinstance(implementation.value, str):
            return self._expression(place, implementation.value, field)
        if isinstance(implementation.value, dict):
            return self._dataset_metric(place, implementation)
        return None

    def _expression(self, place: Place, text: str, field: Field | None) -> r.Rule | None:
        if not place.text("name"):
            place.report("an expression has a name, under which quality and quarantine show it")
            return None
        try:
            expression = parse_expression(text, self.types)
        except ContractError as error:
            place.at("implementation").report(error.message)
            return None
        names = expression.fields or ((field.name,) if field else ())
        message = f"must hold: {text}"
        return self._rule(place, "", "row", names, message, r.Satisfies(expression))

    def _dataset_metric(self, place: Place, implementation: Place) -> r.Rule | None:
        metric = implementation.text("metric")
        if metric not in WHOLE:
            implementation.report(
                "an expression is a text; a mapping has metric "
                f"{', '.join(WHOLE)}{suggestion(metric, WHOLE)}"
            )
            return None
        self._close(implementation, ("metric", *WHOLE[metric]))
        if metric == "freshness":
            return self._freshness(place, implementation)
        if metric in ("rejectRate", "failureRate"):
            return self._jump(place, implementation, metric)
        threshold = self._threshold(implementation)
        if threshold is None:
            implementation.report(f"exactly one of {', '.join(OPERATORS)} is needed")
            return None
        percent = self._percent(implementation)
        if metric == "rejectedRows":
            share = r.RejectedShare(threshold, percent)
            return self._whole(place, "rejected-rows", (), share, "the number of rejects")
        change = r.CountChange(threshold, percent)
        return self._whole(place, "row-count-change", (), change, "the change of the row count")

    def _freshness(self, place: Place, implementation: Place) -> r.Rule | None:
        name, hours = implementation.text("field"), implementation.number("hours")
        problem = self.no_time(name)
        if problem or not hours or hours <= 0:
            implementation.report(problem or "freshness has field and hours, a number above 0")
            return None
        check = r.Freshness(name, Decimal(hours), self.zone or "UTC")
        rule = self._whole(place, f"{name}.freshness", (name,), check, f"the newest {name}")
        if rule.name.startswith(RULE_PREFIX):  # a comparison of contracts could not tell them apart
            place.report(f"{RULE_PREFIX}… are the rules of service levels; name this one otherwise")
        return rule

    def no_time(self, name: str) -> str:
        """Why a field does not tell when: empty where it does."""
        family = family_of(self.types[name]) if name in self.types else None
        if family is not None and family[0] == "timestamp" and not self.zone:
            return (
                f"{name} is a timestamp without a zone, and none is guessed: say zhixin.timezone "
                "of the server, or timezone: true where the source has it"
            )
        if family is None or family[0] not in ("date", "timestamp", "timestamptz"):
            return "freshness has field, a date or a timestamp, and hours"
        return ""

    def _jump(self, place: Place, implementation: Place, metric: str) -> r.Rule | None:
        """A rate against the last versions; the rule that it names is looked up at the end."""
        points, versions = implementation.number("mustNotJumpBy"), implementation.number("versions")
        if points is None or points <= 0:
            implementation.report(f"{metric} has mustNotJumpBy, percentage points above 0")
            return None
        if "versions" not in implementation:
            versions = 1
        if versions is None or versions != int(versions) or not 1 <= versions <= MOST_VERSIONS:
            implementation.at("versions").report(f"a whole number from 1 to {MOST_VERSIONS}")
            return None
        named = implementation.text("rule")
        if (metric == "failureRate") != bool(named):
            implementation.report("failureRate names a rule of this contract, rejectRate none")
            return None
        check = r.RateJump(named, Decimal(points), int(versions))
        name = f"{named}.jump" if named else "reject-rate.jump"
        subject = f"the share of records that break {named}" if named else "the share of rejects"
        return self._whole(place, name, (), check, subject)

    def _external(self, place: Place, implementation: Place) -> r.Rule | None:
        keys = ("type", "kwargs") if "type" in implementation else _EXTERNAL
        self._close(implementation, (*keys, "meta"))
        name = implementation.text(keys[0])
        arguments = implementation.at(keys[1]).value
        if not _EXPECTATION.fullmatch(name) or not isinstance(arguments, dict | type(None)):
            implementation.report("wanted: {expectation: expect_…, arguments: {…}}")
            return None
        if not place.text("name"):
            place.report("an expectation has a name, under which the report shows it")
            return None
        given = tuple(sorted((arguments or {}).items()))
        column = str((arguments or {}).get("column", ""))
        check = r.External(name, given)
        fields = (column,) if column in self.types else ()
        return self._whole(place, "", fields, check, "the expectation", kind="external")

    # ---- both

    def _whole(  # noqa: PLR0917
        self,
        place: Place,
        name: str,
        fields: tuple[str, ...],
        check: r.Check,
        subject: str,
        kind: r.Kind = "dataset",
    ) -> r.Rule:
        """Make a rule about the whole dataset: critical unless it only warns."""
        if place.text("severity") == "error":
            place.at("severity").report(
                "a rule about the whole dataset has no record to quarantine: critical or warning"
            )
        message = f"{subject} is not as the contract wants it"
        return self._rule(place, name, kind, fields, message, check, default="critical")

    def _rule(  # noqa: PLR0917
        self,
        place: Place,
        name: str,
        kind: r.Kind,
        fields: tuple[str, ...],
        message: str,
        check: r.Check,
        default: r.Severity = "error",
    ) -> r.Rule:
        severity = place.text("severity") or default
        if severity not in r.SEVERITIES:
            place.at("severity").report("severity is error, warning or critical")
            severity = default
        words = " ".join(place.text("description").split())
        return r.Rule(
            place.text("name") or name,
            severity,
            kind,
            fields,
            words or message,
            check,
        )


def _not_of(kind: str) -> str:
    return f"nothing reads this in a rule of type {kind}; leave it out, or say another type"


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
