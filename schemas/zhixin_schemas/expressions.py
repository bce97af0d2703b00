"""Boolean expressions across fields: parsed by sqlglot into a small tree with types.

What is admitted, with SQL's meaning (a null makes the whole unknown, and unknown passes)::

    arr_time IS NULL OR dep_time IS NOT NULL          "a quoted name" <> 'it''s'
    hour * 100 + minute = sched_dep_time              wind_gust >= wind_speed
    status IN ('open', 'closed')                      born BETWEEN '1900-01-01' AND '2100-01-01'
    NOT (code LIKE 'X%')                              flag = TRUE

Comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS [NOT] NULL, + − ×, field and literal; anything else
(functions, CASE, casts, division, subqueries) is refused with its text. Numbers are exact unless a
float takes part. A text literal beside a date or time is read as one. No evaluation here:
:mod:`zhixin_schemas.evaluate` does it over Arrow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zhixin_errors import ContractError

if TYPE_CHECKING:
    from zhixin_schemas.model import FieldType
    from zhixin_schemas.rules import Value

__all__ = [
    "MAX_EXPRESSION",
    "Arithmetic",
    "Between",
    "Column",
    "Comparison",
    "Connective",
    "Expression",
    "Family",
    "In",
    "IsNull",
    "Like",
    "Literal_",
    "Node",
    "Not",
    "family_of",
    "literal_of",
    "nulls_pass",
    "parse_expression",
]

MAX_EXPRESSION = 4_096
_MAX_DEPTH = 100
_ARGUMENTS = {"this", "expression", "expressions", "low", "high", "is_string", "negate"}
"""What sqlglot may say of a node; a node with more (ESCAPE, SYMMETRIC …) means something else."""

Family: TypeAlias = Literal[
    "boolean", "exact", "float", "string", "binary", "date", "time", "timestamp", "timestamptz"
]
_NUMBERS = ("exact", "float")
_TIMES = ("date", "time", "timestamp", "timestamptz")
_MAX_DIGITS = 76  # decimal256


@dataclass(frozen=True)
class Column:
    """A field; `precision` and `scale` bound its exact numbers."""

    name: str
    family: Family
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Literal_:  # noqa: N801 - Literal is typing's
    """A value written in the expression; None is NULL."""

    value: Value | None
    family: Family | None
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Arithmetic:
    """``left + right``, ``-`` or ``*``."""

    operator: Literal["+", "-", "*"]
    left: Node
    right: Node
    family: Family
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Comparison:
    """``left = right`` and its like."""

    operator: Literal["=", "<>", "<", "<=", ">", ">="]
    left: Node
    right: Node
    family: Family = field(default="boolean", init=False)


@dataclass(frozen=True)
class Connective:
    """``left AND right`` or ``left OR right``."""

    operator: Literal["AND", "OR"]
    left: Node
    right: Node
    family: Family = field(default="boolean", init=False)


@dataclass(frozen=True)
class Not:
    """``NOT operand``."""

    operand: Node
    family: Family = field(default="boolean", init=False)


@dataclass(frozen=True)
class IsNull:
    """``operand IS NULL``."""

    operand: Node
    family: Family = field(default="boolean", init=False)


@dataclass(frozen=True)
class In:
    """``operand IN (values)``: null-free literals of the operand's family."""

    operand: Node
    values: tuple[Literal_, ...]
    family: Family = field(default="boolean", init=False)


@dataclass(frozen=True)
class Between:
    """``operand BETWEEN low AND high``, both included."""

    operand: Node
    low: Node
    high: Node
    family: Family = field(default="boolean", init=False)


@dataclass(frozen=True)
class Like:
    """``operand LIKE pattern``: % any run, _ any one character."""

    operand: Node
    pattern: str
    family: Family = field(default="boolean", init=False)


Node: TypeAlias = (
    Column | Literal_ | Arithmetic | Comparison | Connective | Not | IsNull | In | Between | Like
)


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Args:
        text: as the contract has it.
        root: of the tree; a boolean.
        fields: the fields that it names, in order of appearance.
    """

    text: str
    root: Node
    fields: tuple[str, ...]


def family_of(kind: FieldType) -> tuple[Family, int, int] | None:
    """Give (family, precision, scale) of a manifest type; None for lists and structs."""
    if not isinstance(kind, str):
        return None
    if kind == "integer":
        return "exact", 19, 0
    if kind == "unsigned":
        return "exact", 20, 0
    if kind.startswith("decimal("):
        precision, scale = kind[8:-1].split(",")
        return "exact", int(precision), int(scale)
    return kind, 0, 0  # type: ignore[return-value]


def parse_expression(text: str, types: Mapping[str, FieldType]) -> Expression:
    """Parse a boolean expression over typed fields.

    Args:
        text: at most 4,096 characters.
        types: manifest type of each field.

    Raises:
        ContractError: it does not parse, names an unknown field, mixes types, or uses what is not
            admitted; the message quotes the part of the expression.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    if len(text) > MAX_EXPRESSION:
        raise ContractError(f"an expression of more than {MAX_EXPRESSION} characters")
    try:
        tree = sqlglot.parse(text, dialect="duckdb")
    except SqlglotError as error:
        first = str(error).splitlines()[0] if str(error) else "unknown"
        raise ContractError(f"the expression does not parse: {_plain(first)}") from error
    except RecursionError as error:
        raise ContractError("the expression is nested too deep") from error
    if len(tree) != 1 or tree[0] is None:
        raise ContractError("one expression is wanted, not several statements")
    parser = _Parser(types)
    try:
        root = parser.node(tree[0], 0)
    except RecursionError as error:
        raise ContractError("the expression is nested too deep") from error
    if root.family != "boolean":
        raise ContractError("the expression is not true or false; compare something")
    return Expression(text, root, tuple(parser.fields))


def _plain(text: str) -> str:
    return "".join(ch for ch in text if ch.isprintable()).replace("[4m", "").replace("[0m", "")


class _Parser:
    """Turns sqlglot's tree into ours, a method a kind of node."""

    def __init__(self, types: Mapping[str, FieldType]) -> None:
        from sqlglot import exp

        self.types = types
        self.fields: dict[str, None] = {}
        self.exp: Any = exp
        self.comparisons: dict[type, str] = {
            exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
        }  # fmt: skip
        self.arithmetic: dict[type, str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
        self.handlers: dict[type, Any] = {
            exp.Paren: lambda tree, depth: self.node(tree.this, depth),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Boolean: lambda tree, _: Literal_(bool(tree.this), "boolean"),
            exp.Null: lambda _tree, _: Literal_(None, None),
            exp.Neg: self._negative,
            exp.And: self._connective,
            exp.Or: self._connective,
            exp.Not: self._not,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
        }

    def node(self, tree: Any, depth: int) -> Node:  # noqa: ANN401 - sqlglot has no types
        if depth > _MAX_DEPTH:
            raise ContractError("the expression is nested too deep")
        kind = type(tree)
        handler = self.handlers.get(kind)
        if kind in self.comparisons:
            handler = self._comparison
        elif kind in self.arithmetic:
            handler = self._arithmetic
        said = {name for name, value in tree.args.items() if value not in (None, False, [])}
        if handler is None or not said <= _ARGUMENTS:
            raise self._refused(tree)
        node: Node = handler(tree, depth + 1)
        return Not(node) if "negate" in said else node

    def _refused(self, tree: Any, why: str = "") -> ContractError:  # noqa: ANN401
        text = _plain(str(tree))
        text = text if len(text) <= 60 else text[:57] + "…"
        why = why or (
            "is not admitted; comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, + - *, "
            "fields and literals are"
        )
        return ContractError(f'"{text}" {why}')

    def _column(self, tree: Any, _depth: int) -> Node:  # noqa: ANN401
        name = tree.name
        if tree.table or not isinstance(tree.this, self.exp.Identifier):
            raise self._refused(tree)
        if name not in self.types:
            from zhixin_schemas.odcs import suggestion

            raise self._refused(tree, f"is no field{suggestion(name, self.types)}")
        found = family_of(self.types[name])
        if found is None:
            raise self._refused(tree, "is a list or an object; expressions take plain fields")
        self.fields[name] = None
        return Column(name, *found)

    def _literal(self, tree: Any, _depth: int) -> Node:  # noqa: ANN401
        if tree.is_string:
            return Literal_(str(tree.this), "string")
        try:
            value = Decimal(str(tree.this))
        except InvalidOperation as error:
            raise self._refused(tree, "is no number") from error
        return _number(value, self._refused(tree, "has too many digits"))

    def _negative(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        operand = self.node(tree.this, depth)
        if isinstance(operand, Literal_) and isinstance(operand.value, Decimal):
            return Literal_(-operand.value, "exact", operand.precision, operand.scale)
        zero = Literal_(Decimal(0), "exact", 1, 0)
        return self._combine("-", zero, operand, tree)

    def _arithmetic(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        left, right = self.node(tree.this, depth), self.node(tree.expression, depth)
        return self._combine(self.arithmetic[type(tree)], left, right, tree)

    def _combine(self, operator: Any, left: Node, right: Node, tree: Any) -> Node:  # noqa: ANN401
        for side in (left, right):
            if side.family not in _NUMBERS:
                raise self._refused(tree, "adds up what are no numbers")
        if "float" in (left.family, right.family):
            return Arithmetic(operator, left, right, "float")
        precision, scale = _digits(operator, left, right)
        if precision > _MAX_DIGITS:
            raise self._refused(tree, "can have more than 76 digits")
        return Arithmetic(operator, left, right, "exact", precision, scale)

    def _comparison(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        left, right = self.node(tree.this, depth), self.node(tree.expression, depth)
        left, right = self._alike(left, right, tree)
        operator: Any = self.comparisons[type(tree)]
        return Comparison(operator, left, right)

    def _alike(self, left: Node, right: Node, tree: Any) -> tuple[Node, Node]:  # noqa: ANN401
        """Bring two sides into one family, a text literal beside a time into that."""
        left, right = self._timed(left, right, tree), self._timed(right, left, tree)
        for side in (left, right):
            if isinstance(side, Literal_) and side.value is None:
                raise self._refused(tree, "compares with NULL; say IS NULL")
        families = {left.family, right.family}
        if len(families) > 1 and not families <= set(_NUMBERS):
            raise self._refused(tree, f"compares {_said(left.family)} with {_said(right.family)}")
        if families == {"exact"} and _digits("+", left, right)[0] - 1 > _MAX_DIGITS:
            raise self._refused(tree, "can have more than 76 digits")
        return left, right

    def _timed(self, node: Node, other: Node, tree: Any) -> Node:  # noqa: ANN401
        if not isinstance(node, Literal_) or node.family != "string" or other.family not in _TIMES:
            return node
        try:
            return Literal_(literal_of(str(node.value), other.family), other.family)
        except ValueError as error:
            raise self._refused(tree, f"holds a text that is no {other.family}") from error

    def _boolean(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        node = self.node(tree, depth)
        if node.family not in ("boolean", None):
            raise self._refused(tree, "is not true or false")
        return node

    def _connective(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        operator: Any = "AND" if isinstance(tree, self.exp.And) else "OR"
        return Connective(
            operator, self._boolean(tree.this, depth), self._boolean(tree.expression, depth)
        )

    def _not(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        return Not(self._boolean(tree.this, depth))

    def _is(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        operand = self.node(tree.this, depth)
        if isinstance(tree.expression, self.exp.Null):
            return IsNull(operand)
        if isinstance(tree.expression, self.exp.Not) and isinstance(
            tree.expression.this, self.exp.Null
        ):
            return Not(IsNull(operand))
        raise self._refused(tree)

    def _in(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        operand = self.node(tree.this, depth)
        if not tree.expressions:
            raise self._refused(tree)
        values: list[Literal_] = []
        for item in tree.expressions:
            _, value = self._alike(operand, self.node(item, depth), tree)
            if not isinstance(value, Literal_):
                raise self._refused(tree, "lists something else than literals")
            values.append(value)
        return In(operand, tuple(values))

    def _between(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        operand = self.node(tree.this, depth)
        _, low = self._alike(operand, self.node(tree.args["low"], depth), tree)
        _, high = self._alike(operand, self.node(tree.args["high"], depth), tree)
        return Between(operand, low, high)

    def _like(self, tree: Any, depth: int) -> Node:  # noqa: ANN401
        operand, pattern = self.node(tree.this, depth), self.node(tree.expression, depth)
        if operand.family != "string" or not isinstance(pattern, Literal_):
            raise self._refused(tree, "wants a text field and a text literal")
        if pattern.family != "string" or "\\" in str(pattern.value):
            raise self._refused(tree, "wants a text literal without a backslash")
        return Like(operand, str(pattern.value))


def _number(value: Decimal, too_long: ContractError) -> Literal_:
    """Make an exact literal with the digits that it needs."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _MAX_DIGITS or len(digits) > _MAX_DIGITS:
        raise too_long
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale, 1)
    if precision > 38:
        raise too_long
    return Literal_(value, "exact", precision, scale)


def _digits(operator: str, left: Node, right: Node) -> tuple[int, int]:
    """Give precision and scale of an exact result."""
    (one, one_scale), (two, two_scale) = _size(left), _size(right)
    if operator == "*":
        return one + two + 1, one_scale + two_scale
    whole = max(one - one_scale, two - two_scale)
    scale = max(one_scale, two_scale)
    return whole + scale + 1, scale


def _size(node: Node) -> tuple[int, int]:
    if isinstance(node, Column | Literal_ | Arithmetic):
        return node.precision, node.scale
    return 0, 0


def literal_of(text: str, family: str) -> Value:
    """Read a text as a value of a date or time family.

    Raises:
        ValueError: it is none, or has an offset where none is due, or lacks it where it is.
    """
    if family == "date":
        return dt.date.fromisoformat(text)
    if family == "time":
        value = dt.time.fromisoformat(text)
        if value.tzinfo is not None:
            raise ValueError(text)
        return value
    moment = dt.datetime.fromisoformat(text)
    if (moment.tzinfo is None) == (family == "timestamptz"):
        raise ValueError(text)
    return moment


def nulls_pass(expression: Expression) -> tuple[str, ...]:
    """Give the fields that the expression looks at without asking whether they are null."""
    asked: set[str] = set()
    _asked(expression.root, asked)
    return tuple(name for name in expression.fields if name not in asked)


def _asked(node: Node, asked: set[str]) -> None:
    match node:
        case IsNull(operand=Column(name=name)):
            asked.add(name)
        case Connective() | Comparison() | Arithmetic():
            _asked(node.left, asked)
            _asked(node.right, asked)
        case Not() | IsNull() | In() | Like() | Between():
            _asked(node.operand, asked)
        case _:
            pass


def _said(family: str | None) -> str:
    return "an exact number" if family == "exact" else str(family)
