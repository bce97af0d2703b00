"""Compiles a contract's rules into Arrow masks: what decides each record.

A mask is true where a record breaks the rule, and has no nulls. Batches stream through
:meth:`RuleSet.check`; what needs all records (uniqueness, row count, freshness) is counted by
:mod:`zhixin_schemas.quality` and decided at the end.

    rules = compile_rules(contract)
    verdict = rules.check(batch, key_sets={"dest.reference": airport_codes})
    accepted = batch.filter(pc.invert(verdict.rejected))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from zhixin_errors import ContractError

from zhixin_schemas import rules as r
from zhixin_schemas.bounds import Ends, inclusive_range, value_set
from zhixin_schemas.evaluate import evaluate
from zhixin_schemas.model import Contract

__all__ = ["KeySets", "RowVerdict", "RuleSet", "compile_rules"]

KeySets: TypeAlias = Mapping[str, "pa.Array[Any] | pa.ChunkedArray[Any]"]
"""Verified keys of another dataset, by the name of the relationship's rule."""

Mask: TypeAlias = pa.BooleanArray
_MaskMaker: TypeAlias = Callable[[pa.RecordBatch, KeySets], Mask]

_REPEATS = 4
"""Texts repeat where at most one in so many is another one."""


@dataclass(frozen=True)
class RowVerdict:
    """What the rules say of a batch.

    Args:
        rows: number of records.
        failed: for each row rule, and each relationship that is not decided at the end, a mask
            without nulls: true where it is broken.
        measured: likewise for dataset rules that count records; they reject none.
        rules: the set that judged.
    """

    rows: int
    failed: dict[str, Mask]
    measured: dict[str, Mask]
    rules: RuleSet

    @cached_property
    def rejected(self) -> Mask:
        """True where a rule of severity error or critical is broken."""
        return self._any(("error", "critical"))

    @cached_property
    def warned(self) -> Mask:
        """True where a rule of severity warning is broken, rejected or not."""
        return self._any(("warning",))

    def _any(self, severities: tuple[str, ...]) -> Mask:
        result = _none(self.rows)
        for name, mask in self.failed.items():
            if self.rules[name].severity in severities and mask.true_count:
                result = pc.or_(result, mask)
        return result


class RuleSet:
    """A contract's rules, compiled.

    Args:
        contract: whose rules they are.
        rules: its rules; a test may leave some out.
        late: names of relationships whose keys don't fit in memory. These, those of several fields
            and those within the dataset have no mask: the pipeline decides them over all records.
    """

    def __init__(
        self, contract: Contract, rules: Iterable[r.Rule], late: Iterable[str] = ()
    ) -> None:
        self.contract = contract
        self.rules = tuple(rules)
        self.late = tuple(rule for rule in self.rules if self._is_late(rule, set(late)))
        self._by_name = {rule.name: rule for rule in self.rules}
        self._makers: dict[str, _MaskMaker] = {}
        self._measures: dict[str, _MaskMaker] = {}
        for rule in self.rules:
            if rule in self.late:
                continue
            if rule.kind in ("row", "relationship"):
                self._makers[rule.name] = _maker(rule.name, rule.check, contract.schema)
            elif isinstance(rule.check, r.WithinThreshold):
                self._measures[rule.name] = _maker(rule.name, rule.check.check, contract.schema)

    def _is_late(self, rule: r.Rule, named: set[str]) -> bool:
        check = rule.check
        return isinstance(check, r.Reference) and (
            rule.name in named or len(check.fields) > 1 or check.dataset == self.contract.dataset
        )

    def __getitem__(self, name: str) -> r.Rule:
        """Give a rule by its name."""
        return self._by_name[name]

    @property
    def unique(self) -> tuple[r.Rule, ...]:
        """Rules that the pipeline decides over all records: fields are the key to compare."""
        return tuple(rule for rule in self.rules if rule.kind == "unique")

    def check(
        self,
        batch: pa.RecordBatch,
        key_sets: KeySets | None = None,
        misfits: Mapping[str, Mask] | None = None,
    ) -> RowVerdict:
        """Judge every record of a batch by every rule.

        Args:
            batch: of the contract's schema.
            key_sets: for each relationship's rule, the keys that exist.
            misfits: for a field, true where the source's value could not be read and the cell is
                null for that reason alone: rules that look at the field don't judge that record,
                whose reason is the value and not ``required``. Under ``""``: true where the whole
                record could not be read; no rule judges it.

        Raises:
            ContractError: a key set is missing or of another type.
        """
        keys, unread = key_sets or {}, misfits or {}
        failed, measured = (
            {name: self._mask(name, make, batch, keys, unread) for name, make in makers.items()}
            for makers in (self._makers, self._measures)
        )
        return RowVerdict(batch.num_rows, failed, measured, self)

    def _mask(
        self,
        name: str,
        make: _MaskMaker,
        batch: pa.RecordBatch,
        keys: KeySets,
        misfits: Mapping[str, Mask],
    ) -> Mask:
        mask = make(batch, keys)
        for field in ("", *self._by_name[name].fields):
            if field in misfits and mask.true_count:
                mask = pc.and_not(mask, misfits[field])
        return mask


def compile_rules(contract: Contract, late: Iterable[str] = ()) -> RuleSet:
    """Compile all rules of a contract.

    Args:
        contract: whose rules they are.
        late: see :class:`RuleSet`.

    Raises:
        ContractError: a rule can't be compiled for the contract's types.
    """
    return RuleSet(contract, contract.rules, late)


@lru_cache(maxsize=16)
def _none(rows: int) -> Mask:
    """A mask of no record: most rules find none in most batches, and share it."""
    return pa.repeat(pa.scalar(False), rows)


def _certain(mask: Any) -> Mask:  # noqa: ANN401 - the stubs know no common name
    """Make unknown false: a null breaks no rule."""
    result: Mask = mask if not mask.null_count else pc.fill_null(mask, False)
    return result


def _maker(name: str, check: r.Check, schema: pa.Schema) -> _MaskMaker:
    """Give the function that makes a check's mask."""
    match check:
        case r.Satisfies():
            expression = check.expression
            return lambda batch, _: _certain(pc.invert(evaluate(expression, batch)))
        case r.Reference():
            return _reference(name, check, schema.field(check.fields[0]).type)
        case (
            r.Required()
            | r.Finite()
            | r.Range()
            | r.Length()
            | r.Items()
            | r.MultipleOf()
            | r.Pattern()
            | r.Allowed()
            | r.Missing()
        ):
            field = check.field
            column_mask = _column_maker(check, schema.field(field).type)
            return lambda batch, _: column_mask(batch.column(field))
        case _:
            raise ContractError(f'the rule "{name}" does not judge single records')


def _column_maker(  # noqa: PLR0911 - one return a kind of check
    check: r.RowCheck, kind: pa.DataType
) -> Callable[[Any], Mask]:
    match check:
        case r.Finite():
            return lambda column: _certain(pc.invert(pc.is_finite(column)))
        case r.Range():
            return _range(check, kind)
        case r.Length() | r.Items():
            return _length(check, kind)
        case r.MultipleOf():
            return lambda column: _certain(_remainder(column, check.divisor))
        case r.Pattern():
            return _pattern(check.pattern)
        case r.Allowed():
            values = value_set(check.values, kind)
            return lambda column: pc.and_(
                pc.is_valid(column), pc.invert(pc.is_in(column, value_set=values))
            )
        case r.Missing():
            words = value_set(check.words, kind)
            return lambda column: pc.or_(pc.is_null(column), pc.is_in(column, value_set=words))
        case _:
            return lambda column: pc.is_null(column) if column.null_count else _none(len(column))


def _pattern(pattern: str) -> Callable[[Any], Mask]:
    """Match each text once where texts repeat: a look into a table costs a tenth of a match."""

    def broken(column: Any) -> Mask:  # noqa: ANN401
        result: Mask = pc.invert(pc.match_substring_regex(column, pattern))
        return result

    def mask(column: Any) -> Mask:  # noqa: ANN401
        coded = pc.dictionary_encode(column)
        if len(coded.dictionary) * _REPEATS > len(column):
            return _certain(broken(column))
        found = broken(coded.dictionary)
        return _certain(found.take(coded.indices)) if found.true_count else _none(len(column))

    return mask


def _range(check: r.Range, kind: pa.DataType) -> Callable[[Any], Mask]:
    ends = inclusive_range(check, kind)

    def mask(column: Any) -> Mask:  # noqa: ANN401
        if ends.empty:
            result: Mask = pc.is_valid(column)
            return result
        if _all_inside(column, ends):
            return _none(len(column))
        parts = []
        if ends.low is not None:
            compare = "less_equal" if ends.low_exclusive else "less"
            parts.append(pc.call_function(compare, [column, ends.low]))
        if ends.high is not None:
            compare = "greater_equal" if ends.high_exclusive else "greater"
            parts.append(pc.call_function(compare, [column, ends.high]))
        return _certain(parts[0] if len(parts) == 1 else pc.or_(*parts))

    return mask


def _all_inside(column: Any, ends: Ends) -> bool:  # noqa: ANN401
    """Whether the least and the greatest value say that all are inside: one pass, and no mask."""
    found = pc.min_max(column)
    least, greatest = found["min"], found["max"]
    if not least.is_valid:
        return True
    above = "greater" if ends.low_exclusive else "greater_equal"
    below = "less" if ends.high_exclusive else "less_equal"
    return bool(
        (ends.low is None or pc.call_function(above, [least, ends.low]).as_py())
        and (ends.high is None or pc.call_function(below, [greatest, ends.high]).as_py())
    )


def _length(check: r.Length | r.Items, kind: pa.DataType) -> Callable[[Any], Mask]:
    function = "list_value_length"
    if isinstance(check, r.Length):
        function = "binary_length" if pa.types.is_binary(kind) else "utf8_length"

    def mask(column: Any) -> Mask:  # noqa: ANN401
        length = pc.call_function(function, [column])
        parts = []
        if check.low is not None:
            parts.append(pc.call_function("less", [length, pa.scalar(check.low)]))
        if check.high is not None:
            parts.append(pc.call_function("greater", [length, pa.scalar(check.high)]))
        return _certain(parts[0] if len(parts) == 1 else pc.or_(*parts))

    return mask


def _remainder(column: Any, divisor: int) -> Any:  # noqa: ANN401
    whole = pc.multiply(pc.divide(column, divisor), divisor)
    return pc.not_equal(pc.subtract(column, whole), pa.scalar(0, column.type))


def _reference(name: str, check: r.Reference, kind: pa.DataType) -> _MaskMaker:
    (field,), (target,) = check.fields, check.targets

    def mask(batch: pa.RecordBatch, key_sets: KeySets) -> Mask:
        keys = key_sets.get(name)
        if keys is None:
            raise ContractError(
                f'the rule "{name}" needs the verified {target} of {check.dataset}',
                code="relationship-missing",
            )
        if keys.type != kind:
            raise ContractError(
                f'the rule "{name}" compares {field} ({kind}) with {target} of '
                f"{check.dataset} ({keys.type}); both must have the same type",
                code="relationship-type",
            )
        column = batch.column(field)
        known = pc.is_in(column, value_set=keys)
        result: Mask = pc.and_(pc.is_valid(column), pc.invert(known))
        return result

    return mask
