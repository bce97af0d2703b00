"""What changed between two versions of a contract, whom it touches, and the version it asks for.

A change is *breaking* where somebody relied on what may no longer hold: a field gone or of another
type, a promise taken back, a value that could not come before. It is *additive* where consumers
have more than before, though the owner's run may reject more. All else is a *patch*::

    breaking   dst.allowed is looser: it also admits "XX"     whoever reads dst
    additive   y.required is checked too                      the owner's run: more may be rejected
    patch      the records come from elsewhere                the owner's run alone

A rule of severity ``warning`` keeps no record out, so that nobody's records change with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from zhixin_errors import ContractError
from zhixin_ledger.names import parse_contract_version
from zhixin_schemas.partitioning import PARTITION_OPTIONS

if TYPE_CHECKING:
    from zhixin_schemas.model import Contract, Field, FieldType
    from zhixin_schemas.rules import Rule

__all__ = ["Change", "contract_changes", "next_version", "refuse_small_step"]

Level: TypeAlias = Literal["breaking", "additive", "patch"]

_LEVELS: tuple[Level, ...] = ("breaking", "additive", "patch")
_OWNER = "the owner's run alone"
_REJECTS = "the owner's run: more may be rejected"
_EVERYONE = "every consumer"
_CLASSES = ("public", "internal", "confidential", "restricted")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Change:
    """One difference.

    Args:
        what: ``field``, ``rule``, ``key``, ``source``, ``sla`` or ``text``.
        name: of the field, rule or service level; empty otherwise.
        message: one sentence.
        level: breaking, additive or patch.
        affects: who must look at it.
    """

    what: str
    name: str
    message: str
    level: Level
    affects: str

    @property
    def breaking(self) -> bool:
        """Whether somebody relied on what may no longer hold."""
        return self.level == "breaking"

    def to_json(self) -> dict[str, object]:
        """Give the change as JSON."""
        return {**vars(self), "breaking": self.breaking}


def contract_changes(old: Contract, new: Contract) -> list[Change]:
    """Compare two contracts.

    Args:
        old: the one in force.
        new: the one to come.

    Returns:
        Every difference, those that break somebody first.
    """
    found = [*_fields(old, new), *_rules(old, new), *_key(old, new), *_rest(old, new)]
    if not found and old.bytes != new.bytes:
        found.append(Change("text", "", "only words changed", "patch", "nobody's records"))
    return sorted(found, key=lambda change: _LEVELS.index(change.level))


def next_version(old: Contract, changes: Sequence[Change]) -> str:
    """The lowest version that the changes allow."""
    major, minor, patch = parse_contract_version(old.version)
    levels = {change.level for change in changes}
    if "breaking" in levels:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if "additive" in levels else f"{major}.{minor}.{patch + 1}"


def refuse_small_step(old: Contract, new: Contract) -> None:
    """Hold a new contract to the version that its changes ask for.

    Raises:
        ContractError: code ``contract-version``; names the changes and the version that is wanted.
    """
    changes = contract_changes(old, new)
    wanted = next_version(old, changes)
    if parse_contract_version(new.version) >= parse_contract_version(wanted):
        return
    level = changes[0].level
    telling = [change.message for change in changes if change.level == level]
    more = f" and {len(telling) - _MOST_NAMED} more" if len(telling) > _MOST_NAMED else ""
    kind = "breaks its users" if level == "breaking" else "adds to it"
    raise ContractError(
        f"the contract of {new.dataset} {kind} between {old.version} and {new.version}: "
        f"{'; '.join(telling[:_MOST_NAMED])}{more}; that wants version {wanted}",
        code="contract-version",
        hint=f"write version: {wanted}, or take the change back; see `zhixin contract diff "
        f"{new.dataset} FILE`",
        details={"wanted": wanted, "changes": [change.to_json() for change in changes]},
    )


# ---- fields


def _fields(old: Contract, new: Contract) -> Iterator[Change]:
    before = {field.name: field for field in old.fields}
    after = {field.name: field for field in new.fields}
    fresh = [field for name, field in after.items() if name not in before]
    for name in [name for name in before if name not in after]:
        renamed = _renamed(before[name], list(before), fresh, list(after))
        told = f"{name} is gone" + (f"; was it renamed to {renamed}?" if renamed else "")
        yield Change("field", name, told, "breaking", f"whoever reads {name}")
    for field in fresh:
        told = f"{field.name} is new"
        yield Change("field", field.name, told, "additive", "nobody who reads by name")
    common = [name for name in before if name in after]
    for name in common:
        yield from _field(before[name], after[name])
    if common != [name for name in after if name in before]:
        told = "the fields stand in another order"
        yield Change("field", "", told, "additive", "whoever reads columns by their place")
    yield from _classes(old, new, common)


def _field(old: Field, new: Field) -> Iterator[Change]:
    name, readers = old.name, f"whoever reads {old.name}"
    if old.written_type != new.written_type:
        level = _type_level(old.written_type, new.written_type)
        told = f"{name} was {old.written_type} and is {new.written_type}"
        yield Change("field", name, told, level, readers)
    if old.treatment != new.treatment:
        was, now = (str(each.treatment or "written as it is") for each in (old, new))
        yield Change("field", name, f"{name} was {was} and is {now}", "breaking", readers)
    if (old.titles, old.description) != (new.titles, new.description):
        told = f"{name} is described otherwise"
        yield Change("text", name, told, "patch", "nobody's records")


def _type_level(old: FieldType, new: FieldType) -> Level:
    """What a type's change means; the same scale with fewer digits still fits who read it."""
    if isinstance(old, str) or isinstance(new, str):
        return "additive" if _narrower(old, new) else "breaking"
    if old.keys() != new.keys():
        return "breaking"
    if "list" in old:
        return _inner_level(old["list"], new["list"])
    members, others = _members(old), _members(new)
    if members.keys() - others.keys():
        return "breaking"
    levels = [_inner_level(kind, others[name]) for name, kind in members.items()]
    return min([*levels, "additive"], key=_LEVELS.index)


def _inner_level(old: Any, new: Any) -> Level:  # noqa: ANN401 (a FieldType)
    return "additive" if old == new else _type_level(old, new)


def _members(kind: Any) -> dict[str, Any]:  # noqa: ANN401 (a FieldType that is a struct)
    return {member["name"]: member["type"] for member in kind["struct"]}


def _narrower(old: object, new: object) -> bool:
    digits = []
    for kind in (old, new):
        if not isinstance(kind, str) or not kind.startswith("decimal("):
            return False
        precision, _, scale = kind.removeprefix("decimal(").rstrip(")").partition(",")
        digits.append((int(precision), int(scale)))
    return digits[0][1] == digits[1][1] and digits[1][0] < digits[0][0]


def _renamed(
    gone: Field, before: list[str], fresh: Sequence[Field], after: list[str]
) -> str | None:
    """The new field that is most like one that went: by its words, its name, or its place."""
    best, name = 0.0, None
    for field in fresh:
        if field.type != gone.type:
            continue
        same_words = (
            gone.titles == field.titles != {} or gone.description == field.description != ""
        )
        like = difflib.SequenceMatcher(None, gone.name.lower(), field.name.lower()).ratio()
        in_place = before.index(gone.name) == after.index(field.name)
        score = max(like, 0.9 if same_words else 0, 0.7 if in_place else 0)
        if score > max(best, 0.6):
            best, name = score, field.name
    return name


def _classes(old: Contract, new: Contract, names: Iterable[str]) -> Iterator[Change]:
    from zhixin_schemas.agreements import classifications

    before, after = (classifications(_document(each)) for each in (old, new))
    for name in names:
        was, now = before.get(name, ""), after.get(name, "")
        if was == now:
            continue
        told = f"{name} was {was or 'not classified'} and is {now or 'not classified'}"
        known = [_CLASSES.index(c) if c in _CLASSES else -1 for c in (was.lower(), now.lower())]
        level: Level = "additive" if was == "" or -1 < known[1] < known[0] else "breaking"
        yield Change("field", name, told, level, f"whoever holds {name}")


# ---- rules


def _rules(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = ({rule.name: rule for rule in _own_rules(each)} for each in (old, new))
    shared = {field.name for field in old.fields} & {field.name for field in new.fields}
    added = [rule for name, rule in after.items() if name not in before]
    for name in [name for name in before if name not in after]:
        yield from _gone(before[name], added, shared, old, new)
    renamed = {id(r) for r in added for b in before.values() if b.check == r.check}
    for rule in added:
        if id(rule) not in renamed and rule.name != "primary-key":
            affects = "nobody's records: it warns" if rule.severity == "warning" else _REJECTS
            yield Change("rule", rule.name, f"{rule.name} is checked too", "additive", affects)
    for name in [name for name in before if name in after]:
        yield from _rule(before[name], after[name])


def _own_rules(contract: Contract) -> list[Rule]:
    """The rules without those that service levels became: these are compared as what they are."""
    from zhixin_schemas.agreements import RULE_PREFIX
    from zhixin_schemas.rules import Freshness

    return [
        rule
        for rule in contract.rules
        if not (isinstance(rule.check, Freshness) and rule.name.startswith(RULE_PREFIX))
    ]


def _gone(
    rule: Rule, added: Iterable[Rule], shared: set[str], old: Contract, new: Contract
) -> Iterator[Change]:
    """A rule that is no longer there: renamed, gone with its field or key, or taken back."""
    twin = next((other for other in added if other.check == rule.check), None)
    if twin is not None:
        told = f"{rule.name} is called {twin.name}"
        yield Change("rule", rule.name, told, "additive", f"whoever looks {rule.name} up")
        yield from _severity(rule, twin)
        return
    if (rule.fields and not shared & set(rule.fields)) or rule.name == "primary-key":
        return  # the field or the key says it
    finite = f"{rule.field}.finite" == rule.name and _types(old, rule) != _types(new, rule)
    if finite:
        return  # the type says it
    yield _weaker(rule, f"{rule.name} is no longer checked")


def _types(contract: Contract, rule: Rule) -> list[object]:
    return [field.type for field in contract.fields if field.name in rule.fields]


def _weaker(rule: Rule, told: str) -> Change:
    if rule.severity == "warning":
        return Change("rule", rule.name, told, "additive", f"whoever counts {rule.name}")
    readers = f"whoever reads {rule.field}" if rule.fields else _EVERYONE
    return Change("rule", rule.name, told, "breaking", f"{readers} and relies on {rule.name}")


def _rule(old: Rule, new: Rule) -> Iterator[Change]:
    from zhixin_schemas.strength import shift

    yield from _severity(old, new)
    if old.name == "primary-key":
        return
    moved = shift(old.check, new.check)
    if moved == "same":
        if old.message != new.message:
            yield Change(
                "text", old.name, f"{old.name} is worded otherwise", "patch", "nobody's records"
            )
    elif moved == "tighter":
        told = f"{old.name} is tighter{_between(old, new)}"
        affects = "nobody's records: it warns" if new.severity == "warning" else _REJECTS
        yield Change("rule", old.name, told, "additive", affects)
    else:
        word = "is looser" if moved == "looser" else "checks something else"
        yield _weaker(old, f"{old.name} {word}{_between(old, new)}")


def _severity(old: Rule, new: Rule) -> Iterator[Change]:
    from zhixin_schemas.rules import SEVERITIES

    if old.severity == new.severity:
        return
    told = f"{new.name} was {old.severity} and is {new.severity}"
    if SEVERITIES.index(new.severity) < SEVERITIES.index(old.severity):
        yield _weaker(old, told)
    else:
        yield Change("rule", new.name, told, "additive", _REJECTS)


def _between(old: Rule, new: Rule) -> str:
    """What a rule said and says, where its own words tell them apart."""
    from zhixin_schemas.rules import Allowed

    if isinstance(old.check, Allowed) and isinstance(new.check, Allowed):
        more = [str(v) for v in new.check.values if v not in old.check.values]
        fewer = [str(v) for v in old.check.values if v not in new.check.values]
        parts = [
            f"{word} {', '.join(values[:_MOST_NAMED])}{' …' if len(values) > _MOST_NAMED else ''}"
            for word, values in (("it also admits", more), ("it no longer admits", fewer))
            if values
        ]
        return f": {'; '.join(parts)}" if parts else ""
    return f": {old.message} → {new.message}" if old.message != new.message else ""


# ---- the rest


def _key(old: Contract, new: Contract) -> Iterator[Change]:
    was, now = old.primary_key, new.primary_key
    if was == now:
        return
    if not was:
        told = f"records have the key {', '.join(now)} and are ordered by it"
        yield Change("key", "", told, "additive", _REJECTS)
        return
    told = f"the primary key was {', '.join(was)} and is {', '.join(now) or 'gone'}"
    yield Change("key", "", told, "breaking", "whoever tells records apart by it")


def _rest(old: Contract, new: Contract) -> Iterator[Change]:
    if old.dataset != new.dataset:
        told = f"{old.dataset} became {new.dataset}"
        yield Change("key", "", told, "breaking", _EVERYONE)
    if old.sql != new.sql:
        told = "the records are derived otherwise"
        yield Change("source", "", told, "additive", f"{_EVERYONE}: the records may differ")
    elif (old.server, old.object) != (new.server, new.object):
        yield Change("source", "", "the records come from elsewhere", "patch", _OWNER)
    yield from _reading(old, new)
    if old.status != new.status:
        told = f"the status was {old.status or 'not said'} and is {new.status or 'not said'}"
        yield Change("text", "status", told, "patch", _EVERYONE)
    yield from _levels(old, new)


def _reading(old: Contract, new: Contract) -> Iterator[Change]:
    """How the source is read: another zone or word for null makes other values of the same ones."""
    names = sorted(old.options.keys() | new.options.keys())
    moved = [name for name in names if old.options.get(name) != new.options.get(name)]
    changed = [f"zhixin.{name}" for name in moved if name not in PARTITION_OPTIONS]
    if len(changed) < len(moved):
        told = "the source is divided otherwise among those who read it"
        yield Change("source", "", told, "patch", _OWNER)
    if changed:
        told = f"the records are read otherwise: {', '.join(changed)}"
        yield Change("source", "", told, "additive", f"{_EVERYONE}: the records may differ")


def _levels(old: Contract, new: Contract) -> Iterator[Change]:
    """Service levels, those too that have become rules."""
    from zhixin_schemas.agreements import agreements, moved

    before, after = (agreements(_document(each)) for each in (old, new))
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            told = f"{name} is agreed: {now.words}"
            yield Change("sla", name, told, "additive", _OWNER)
        elif was is not None and now is None:
            told = f"{name} is no longer agreed"
            yield Change("sla", name, told, "breaking", f"whoever relies on {name}")
        elif was is not None and now is not None and (how := moved(was, now)) != "same":
            told = f"{name} was {was.words} and is {now.words}"
            level: Level = "additive" if how == "tighter" else "breaking"
            affects = _OWNER if how == "tighter" else f"whoever relies on {name}"
            yield Change("sla", name, told, level, affects)


def _document(contract: Contract) -> Any:  # noqa: ANN401 (a YAML mapping)
    from zhixin_schemas.document import read_document

    return read_document(contract.bytes).value
