"""What a person may want to promise of a column, from what was seen of it.

A contract travels, and so do its comments. So a suggestion tells of the values only

    what many records share   allowed values: at most 20 short ones, each seen 10 times on average
    rounded ends              0 to 500 for 7 to 431; from 1987-01-01 for 1987-06-03; never the end
                              of a time, because tomorrow's records lie beyond it
    lengths and forms         at most 50 characters; ^[0-9]{17}[0-9X]$

and nothing but length and form of a column that looks personal, by its name or its form. Below 20
records nothing is told of any value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from zhixin_schemas.patterns import pattern_problem

if TYPE_CHECKING:
    from zhixin_schemas.infer import ColumnSeen, TableSeen

__all__ = ["flow", "notes", "rules_of_the_whole", "scalar", "suggestions"]

_LEAST_ROWS = 20
_OFTEN = 10
_SHORT = 40
_IDENTITY = r"^[0-9]{17}[0-9X]$"
_PERSONAL_FORMS = {_IDENTITY: "an identity number", r"^1[3-9][0-9]{9}$": "a telephone number"}
_PERSONAL_NAMES = (
    ("an identity number", r"身份证|证件号|公民身份|护照|(^|_)(id_?card|id_?no|ssn|passport)"
     r"|national_?id|identity"),
    ("a telephone number", r"电话|手机|联系方式|phone|mobile|(^|_)tel($|_)"),
    ("an e-mail address", r"邮箱|电子邮件|e_?mail"),
    ("a person's name", r"姓名|名字|申请人|法人|法定代表|负责人|联系人|持有人|户主|经办人"
     r"|(^|_)(holder|applicant|contact|surname|person|owner|patient)($|_)|(first|last|full|family)_?name"),
    ("an address", r"地址|住址|户籍|(^|_)(address|addr|street)($|_)"),
    ("a date of birth", r"出生|生日|birth|(^|_)dob($|_)"),
    ("an account number", r"银行卡|卡号|账号|帐号|iban|(account|card)_?(no|number)"),
    ("a number plate", r"车牌|号牌|number_?plate|licen[cs]e_?plate"),
)  # fmt: skip
_UPDATED = re.compile(r"updat|modif|chang|refresh|loaded|更新|修改|变更|入库|采集", re.IGNORECASE)
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 255, 500, 1_000, 2_000, 5_000, 10_000, 100_000)


def notes(column: ColumnSeen, rows: int) -> Iterator[str]:
    """Say in words what a person should look at, a line each."""
    if column.remark:
        remark = "".join(ch if ch.isprintable() else " " for ch in column.remark)
        yield " ".join(remark.split())
    if column.misfits:
        yield f"{column.misfits:,} of {rows:,} values do not fit this type: rejects"
    if column.nulls and rows:
        yield f"{_percent(column.nulls, rows)} are null ({column.nulls:,} of {rows:,})"
    looks = _personal(column)
    if looks:
        yield f"looks like {looks}: think of a treatment (docs/contracts.md, Personal data)"
    if pa.types.is_string(column.type) and any(v != v.strip(" ") for v in column.distinct or ()):
        yield "texts begin or end with blanks, which count: trim them in a view or a query"
    if column.form == _IDENTITY:
        yield "its form takes wrong check digits too (docs/contracts.md, Patterns)"


def suggestions(
    column: ColumnSeen, table: TableSeen, *, key: bool, with_values: bool
) -> Iterator[tuple[str, object]]:
    """Give what could be promised of a column, as keys and values of its property.

    Args:
        column: what was seen of it.
        table: whose column it is.
        key: it is part of the primary key.
        with_values: ranges and allowed values may be told.
    """
    known = table.rows - column.nulls - column.misfits
    looks = _personal(column)
    if not key and column.nullable is not False and known and not column.nulls:
        yield "required", True
    plain = not (pa.types.is_nested(column.type) or pa.types.is_floating(column.type))
    whole = table.complete and known == table.rows >= _LEAST_ROWS
    if column.unique and plain and whole and not key:
        yield "unique", True
    told = with_values and known >= _LEAST_ROWS and not looks
    allowed = _allowed(column, known) if told else None
    if allowed:
        yield "enum", [{"value": value} for value in allowed]
    options = {} if allowed else dict(_form(column, known))
    counted = pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    if told and not allowed and not key and (counted or not column.unique):
        options |= _range(column, known)
    if options:
        yield "logicalTypeOptions", options
    if looks and plain and not pa.types.is_boolean(column.type):
        yield "classification", "restricted"
        yield "customProperties", [_treatment(column, key=key or bool(column.unique))]
    if re.search(r"[\u4e00-\u9fff]", column.name):
        yield "synonyms", [{"synonym": column.name, "locale": "zh"}]
    else:
        yield "businessName", _title(column.name)


def rules_of_the_whole(columns: Sequence[ColumnSeen]) -> Iterator[str]:
    """Suggest rules about the whole dataset, as lines under the object."""
    yield "    # quality:"
    yield "    #   - {type: library, metric: rowCount, mustBeGreaterThan: 0}"
    for column in columns:
        kind = column.type
        zoned = isinstance(kind, pa.TimestampType) and kind.tz
        if _UPDATED.search(column.name) and (zoned or pa.types.is_date(kind)):
            fresh = {"metric": "freshness", "field": column.name, "hours": 48}
            rule = {"type": "custom", "engine": "zhixin", "severity": "warning"}
            yield f"    #   - {flow({**rule, 'implementation': fresh})}"
            return


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share in (0, 100) or 10 <= share < 99.5 else f"{share:.2g} %"


def _personal(column: ColumnSeen) -> str:
    """What of a person the column seems to hold; empty where it seems to hold nothing."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name)
    name = re.sub(r"[^\w]+", "_", snake).lower()
    found = (what for what, pattern in _PERSONAL_NAMES if re.search(pattern, name))
    return next(found, "") or _PERSONAL_FORMS.get(column.form, "")


def _treatment(column: ColumnSeen, *, key: bool) -> dict[str, object]:
    times = pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)
    value: dict[str, object] = {"generalise": {"to": "year"}}
    if key or not times:
        value = {"pseudonym": "person"}
    return {"property": "zhixin.treatment", "value": value}


def _title(name: str) -> str:
    words = re.sub(r"[_\s]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def _allowed(column: ColumnSeen, known: int) -> list[object] | None:
    """Give the values, where they are few, short and each shared by many records."""
    values = column.distinct
    if not values or len(values) < 2 or known < _OFTEN * len(values):
        return None
    if any(len(value) > _SHORT for value in values):
        return None
    if pa.types.is_string(column.type):
        return list(values)
    if not pa.types.is_integer(column.type) or len(values) > 10:
        return None
    numbers = sorted(int(value) for value in values)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return None  # a range says it better
    return list(numbers)


def _form(column: ColumnSeen, known: int) -> Iterator[tuple[str, object]]:
    if column.form and pattern_problem(column.form) is None:
        yield "pattern", column.form
    elif column.lengths and known >= _LEAST_ROWS:
        longest = column.lengths[1]
        rounded = next((length for length in _LENGTHS if length >= longest), 0)
        if rounded:
            yield "maxLength", rounded


def _range(column: ColumnSeen, known: int) -> dict[str, object]:
    """Give ends that hold for all that was seen, told to one digit, or to the year."""
    kind, low, high = column.type, column.minimum, column.maximum
    if low is None or high is None:
        return {}
    if pa.types.is_date(kind):
        return {"minimum": f"{low[:4]}-01-01"}
    if isinstance(kind, pa.TimestampType):
        return {"minimum": f"{low[:4]}-01-01T00:00:00{'Z' if kind.tz else ''}"}
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not numeric:
        return {}
    if column.distinct and known >= _OFTEN * len(column.distinct):  # many records share them
        return {"minimum": Decimal(low), "maximum": Decimal(high)}
    least, most = _rounded(Decimal(low), ROUND_FLOOR), _rounded(Decimal(high), ROUND_CEILING)
    return {"minimum": least, "maximum": most}


def _rounded(number: Decimal, mode: str) -> Decimal:
    """Round to one digit, away from the other end; a least value from 0 to 10 becomes 0."""
    if mode == ROUND_FLOOR and 0 <= number < 10:
        return Decimal(0)
    if not number:
        return number
    return number.quantize(Decimal(1).scaleb(number.adjusted()), rounding=mode)


# ---- YAML

_PLAIN = re.compile(r"[A-Za-z_\u4e00-\u9fff][A-Za-z0-9_\u4e00-\u9fff./-]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def scalar(text: str) -> str:
    """Write a text so that every YAML reader takes it for one."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(ch if ch.isprintable() else _escape(ch) for ch in quoted)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def flow(value: object) -> str:
    """Write a value in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow(item) for item in value)}]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int | float) else scalar(str(value))
