"""What is wrong with a contract, and what its author may not have thought of.

:func:`lint` gives the problems that stop a contract. :func:`advice` gives what does not stop it:
rules that a null passes, a dataset without a key, an owner who is not named.
"""

from __future__ import annotations

from zhixin_schemas.agreements import AGES, RULE_PREFIX
from zhixin_schemas.document import Document, Place, read_document
from zhixin_schemas.expressions import nulls_pass
from zhixin_schemas.loader import read_contract
from zhixin_schemas.model import Contract, Problem
from zhixin_schemas.rules import Satisfies

__all__ = ["advice", "lint"]

_IDENTITY_NUMBERS = ("^[0-9]{17}[0-9X]$", "^[0-9]{17}([0-9]|X)$", "^[0-9]{18}$")


def lint(data: bytes) -> list[Problem]:
    """Give every problem of a contract, by line; none means that it can be used.

    Args:
        data: the file's exact bytes.
    """
    return list(read_contract(data).problems)


def advice(data: bytes) -> list[Problem]:
    """Give what is worth knowing about a sound contract; nothing for one with problems."""
    contract = read_contract(data).contract
    if contract is None:
        return []
    document = read_document(data)
    _on_nulls(contract, document)
    _on_agreements(contract, document)
    _on_words(document.root)
    _on_forms(document.root)
    _on_names(document.root)
    root = document.root
    if not contract.primary_key:
        document.report(
            ("schema", 0),
            "without a primary key the records keep the source's order, so a source that orders "
            "them anew makes a new version",
        )
    if root.at("team").value is None:
        document.report((), "no owner is named; say who answers for the dataset in team")
    if not root.text("status"):
        document.report((), "no status; active says that the dataset can be relied on")
    return sorted(document.problems)


def _on_words(root: Place) -> None:
    """Name what reads like a promise and is none: nobody is to rely on it."""
    for place in root.items("servers")[1:]:
        place.report("kept as words: records come from servers[0] alone")
    for place in root.items("slaProperties"):
        if place.text("property").lower() not in AGES:
            place.report(f"{place.text('property')} is kept as words: nothing checks it")
    for place in _properties(root):
        if place.flag("primaryKey") and place.at("required").value is False:
            place.at("required").report("a field of the key has no nulls: it is required")
    for place in _quality(root):
        if place.text("schedule"):
            place.at("schedule").report("kept as words: every run checks every rule")


def _on_names(root: Place) -> None:
    """Name fields that differ by capitals alone, which SQL engines take for one."""
    seen: dict[str, str] = {}
    for place in _properties(root):
        name = place.text("name")
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            place.at("name").report(
                f'differs from "{other}" by capitals alone: DuckDB, and so `zhixin cat --sql`, '
                "takes both for one name"
            )


def _on_forms(root: Place) -> None:
    for place in _properties(root):
        pattern = place.at("logicalTypeOptions").at("pattern")
        if pattern.value in _IDENTITY_NUMBERS:
            pattern.report(
                "a form, no proof: identity numbers with a wrong check digit have it too "
                "(docs/contracts.md, Patterns)"
            )


def _properties(root: Place) -> list[Place]:
    return [place for item in root.items("schema") for place in item.items("properties")]


def _on_agreements(contract: Contract, document: Document) -> None:
    """Say which rule each service level about age has become, or how it becomes one."""
    made = [rule for rule in contract.rules if rule.name.startswith(RULE_PREFIX)]
    for place in document.root.items("slaProperties"):
        if place.text("property").lower() not in AGES:
            continue
        element = place.text("element").rpartition(".")[2]
        found = [rule for rule in made if rule.fields == (element,)]
        if found:
            place.report(f'is the rule "{found[0].name}" ({found[0].severity}): {found[0].message}')
        else:
            place.report(
                "nothing checks this; with a value, a unit of time and as element the field that "
                "tells when, it becomes a rule"
            )


def _on_nulls(contract: Contract, document: Document) -> None:
    """Say of each expression which fields make it pass by being null."""
    required = {field.name for field in contract.fields if field.required}
    places = {place.text("name"): place for place in _quality(document.root)}
    for rule in contract.rules:
        if not isinstance(rule.check, Satisfies):
            continue
        fields = [name for name in nulls_pass(rule.check.expression) if name not in required]
        place = places.get(rule.name)
        if fields and place is not None:
            place.report(
                f'a null in {", ".join(fields)} makes "{rule.name}" pass, as in SQL; where it '
                "must not, add IS NOT NULL or required: true"
            )


def _quality(root: Place) -> list[Place]:
    found: list[Place] = []
    for schema_object in root.items("schema"):
        found += schema_object.items("quality")
    for place in _properties(root):
        found += place.items("quality")
    return found
