"""What changed between two versions of a contract, and whether its users must change with it.

A change breaks users where what they relied on may no longer hold: a field gone or of another type,
a promise (required, a rule, the key) taken back. A new field, a new promise or a new word does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zhixin_schemas.model import Contract

__all__ = ["Change", "contract_changes", "next_version"]


@dataclass(frozen=True)
class Change:
    """One difference.

    Args:
        what: ``field``, ``rule``, ``key``, ``source`` or ``text``.
        name: of the field or rule; empty otherwise.
        message: one sentence.
        breaking: users must look at it.
    """

    what: str
    name: str
    message: str
    breaking: bool

    def to_json(self) -> dict[str, object]:
        """Give the change as JSON."""
        return dict(vars(self))


def contract_changes(old: Contract, new: Contract) -> list[Change]:
    """Compare two contracts.

    Args:
        old: the one in force.
        new: the one to come.

    Returns:
        Every difference, those that break users first.
    """
    found = [*_fields(old, new), *_rules(old, new), *_rest(old, new)]
    if not found and old.bytes != new.bytes:
        found.append(Change("text", "", "only words changed", breaking=False))
    return sorted(found, key=lambda change: not change.breaking)


def next_version(old: Contract, changes: list[Change]) -> str:
    """The version that the changes ask for: major where they break users, else minor or patch."""
    major, minor, patch = (int(part) for part in old.version.split("."))
    if any(change.breaking for change in changes):
        return f"{major + 1}.0.0"
    if any(change.what != "text" for change in changes):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def _fields(old: Contract, new: Contract) -> Iterator[Change]:
    before = {field.name: field for field in old.fields}
    after = {field.name: field for field in new.fields}
    for name in sorted(before.keys() - after.keys()):
        yield Change("field", name, f"{name} is gone", breaking=True)
    for name in sorted(after.keys() - before.keys()):
        yield Change("field", name, f"{name} is new", breaking=False)
    for name in sorted(before.keys() & after.keys()):
        if before[name].type != after[name].type:
            told = f"{name} was {before[name].type} and is {after[name].type}"
            yield Change("field", name, told, breaking=True)
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        yield Change("field", "", "the fields stand in another order", breaking=False)


def _rules(old: Contract, new: Contract) -> Iterator[Change]:
    before = {rule.name: rule for rule in old.rules}
    after = {rule.name: rule for rule in new.rules}
    for name in sorted(before.keys() - after.keys()):
        yield Change("rule", name, f"{name} is no longer checked", breaking=True)
    for name in sorted(after.keys() - before.keys()):
        yield Change("rule", name, f"{name} is checked too", breaking=False)
    for name in sorted(before.keys() & after.keys()):
        if before[name].severity != after[name].severity:
            told = f"{name} was {before[name].severity} and is {after[name].severity}"
            softer = after[name].severity == "warning"
            yield Change("rule", name, told, breaking=softer)
        elif before[name].check != after[name].check:
            yield Change("rule", name, f"{name} checks something else", breaking=True)


def _rest(old: Contract, new: Contract) -> Iterator[Change]:
    if old.dataset != new.dataset:
        yield Change("key", "", f"{old.dataset} became {new.dataset}", breaking=True)
    if old.primary_key != new.primary_key:
        yield Change("key", "", "the primary key changed", breaking=True)
    places = [(each.server, each.object, each.sql, each.options) for each in (old, new)]
    if places[0] != places[1]:
        yield Change("source", "", "the records come from elsewhere", breaking=False)
