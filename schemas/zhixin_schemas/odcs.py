"""Holds a document to the Open Data Contract Standard's own JSON schema.

The schema (v3.2.0, which takes v3.1.0 too) is the one that the package
``open-data-contract-standard`` ships; its pydantic model is not used, because it drops keys that it
does not know. What the JSON schema leaves open, such as the arguments of a quality rule, is closed
by :mod:`zhixin_schemas.loader`.

The validator reports an unknown key as part of a longer tale, and every branch of a choice that
failed; here each becomes one problem with one place.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError

from zhixin_schemas.document import Document, Path
from zhixin_schemas.fields import NO_FORM, logical_of

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = [
    "API_VERSIONS",
    "SERVER_KEYS",
    "check_against_standard",
    "server_types",
    "standard",
    "suggestion",
]

API_VERSIONS = ("v3.1.0", "v3.2.0")
SERVER_KEYS = ("id", "server", "type", "description", "environment", "roles", "customProperties")
"""What every server has, whatever its type."""

_MAX_WORD = 60
_STUB = {"logicalType": "string"}
_COMBINING = ("allOf", "anyOf", "oneOf")
_SURPLUS = ("additionalProperties", "unevaluatedProperties")
_TYPES = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
    "boolean": "true or false",
    "null": "nothing",
}


@cache
def standard() -> dict[str, Any]:
    """Give the ODCS JSON schema.

    Raises:
        ConfigError: the package that ships it is not installed.
    """
    spec = importlib.util.find_spec("open_data_contract_standard")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "the package open-data-contract-standard is not installed",
            hint="install it: it holds the ODCS JSON schema",
        )
    text = (FilePath(spec.origin).parent / "schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def server_types() -> dict[str, frozenset[str]]:
    """Give each type of server that ODCS knows, with the keys that only such servers have."""
    definitions = standard()["$defs"]
    found = {}
    for branch in definitions["Server"]["allOf"]:
        name = branch["if"]["properties"]["type"]["const"]
        keys = definitions["ServerSource"][branch["then"]["$ref"].rpartition("/")[2]]["properties"]
        found[name] = frozenset(keys)
    return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """Give `` (did you mean "required"?)`` where a known word is near, else nothing."""
    if len(word) > _MAX_WORD:
        return ""
    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f'; did you mean "{by_folded[near[0]]}"?' if near else ""


def check_against_standard(document: Document) -> None:
    """Report every place of the document that the standard does not admit."""
    from jsonschema import Draft201909Validator

    if not isinstance(document.value, dict):
        document.report((), "a contract is a mapping of keys to values")
        return
    whole = standard()
    for place, definition, value in _pieces(document.value):
        schema = {"$ref": f"#/$defs/{definition}", "$defs": whole["$defs"]}
        validator = Draft201909Validator(schema if definition else whole)
        errors = list(_leaves(validator.iter_errors(value)))
        broken = {tuple(e.absolute_path) for e in errors if e.validator not in _SURPLUS}
        for error in errors:
            for path, message in _problems(error, broken):
                document.report((*place, *path), message)


def _pieces(root: dict[str, Any]) -> Iterator[tuple[Path, str, object]]:
    """Take the document apart: the whole without its fields, then each field without those in it.

    The schema looks at a field once for every logical type, so that validating nested fields in
    place takes time exponential in their depth.

    Yields:
        Where the piece stands, the schema's definition for it (empty: the whole), the piece.
    """
    objects = root.get("schema")
    shallow = dict(root)
    if isinstance(objects, list):
        shallow["schema"] = [_without_fields(item) for item in objects]
    if isinstance(root.get("servers"), list):
        shallow["servers"] = [_common_server(server) for server in root["servers"]]
    yield (), "", shallow
    for at, item in enumerate(objects if isinstance(objects, list) else []):
        if isinstance(item, dict):
            yield from _fields_inside(("schema", at), item)


def _fields_inside(path: Path, holder: dict[str, Any]) -> Iterator[tuple[Path, str, object]]:
    fields = holder.get("properties")
    for at, item in enumerate(fields if isinstance(fields, list) else []):
        yield from _field((*path, "properties", at), "SchemaProperty", item)
    inner = holder.get("map")
    held: dict[Path, object] = {("items",): holder.get("items")}
    if isinstance(inner, dict):
        held |= {("map", key): inner.get(key) for key in ("key", "value")}
    for step, item in held.items():
        if item is not None:
            yield from _field((*path, *step), "SchemaItemProperty", item)


def _field(path: Path, definition: str, item: object) -> Iterator[tuple[Path, str, object]]:
    yield path, definition, _without_fields(item)
    if isinstance(item, dict):
        yield from _fields_inside(path, item)


def _without_fields(item: object) -> object:
    """Leave the fields inside out, but keep the keys and the kinds of what holds them."""
    if not isinstance(item, dict):
        return item
    shallow = dict(item)
    if isinstance(item.get("properties"), list):
        shallow["properties"] = []
    if isinstance(item.get("items"), dict):
        shallow["items"] = _STUB
    if isinstance(item.get("map"), dict):
        shallow["map"] = {
            key: _STUB if isinstance(inner, dict) else inner for key, inner in item["map"].items()
        }
    return shallow


def _common_server(server: object) -> object:
    """Leave out what only servers of this type have: most of it has no place in a contract."""
    if not isinstance(server, dict) or str(server.get("type")) not in server_types():
        return server
    return {key: value for key, value in server.items() if key in SERVER_KEYS} | {"type": "custom"}


def _leaves(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Give the errors at the bottom of choices: of a choice that failed, its nearest branch."""
    for error in errors:
        if error.validator in ("oneOf", "anyOf") and error.context:
            branches: dict[int, list[ValidationError]] = {}
            for part in error.context:
                branches.setdefault(int(part.relative_schema_path[0]), []).append(part)
            yield from _leaves(_nearest(error, list(branches.values())))
        else:
            yield error


def _nearest(
    error: ValidationError, branches: list[list[ValidationError]]
) -> list[ValidationError]:
    here = [branch for branch in branches if not any(_is_type_error(e, error) for e in branch)]
    candidates = here or branches
    if (
        all(len(b) == 1 and b[0].validator == "required" for b in candidates)
        and len(candidates) > 2
    ):
        error.context = []
        return [error]
    return min(
        candidates, key=lambda branch: (len(branch), -max(len(e.absolute_path) for e in branch))
    )


def _is_type_error(part: ValidationError, parent: ValidationError) -> bool:
    return part.validator == "type" and len(part.absolute_path) == len(parent.absolute_path)


def _not_listed(error: ValidationError, path: Path) -> str:
    """Name the words that may stand there, and the one that seems to be meant."""
    given = str(error.instance)
    words = [str(word) for word in _list(error.validator_value)]
    near = suggestion(given, words)
    if path[-1:] == ("logicalType",):  # such as a database's own
        words = [word for word in words if word not in NO_FORM]
        meant = logical_of(given)
        if meant not in ("", given.lower()):
            near = f"; for a {given} it is {meant}"
    return f"not one of {', '.join(words)}{near}"


def _problems(error: ValidationError, broken: set[Path]) -> Iterator[tuple[Path, str]]:
    path: Path = tuple(error.absolute_path)
    if error.validator in _SURPLUS:
        yield from _surplus(error, path, broken)
    elif error.validator == "required":
        missing = str(error.message).split("'")[1]
        if missing != "map" or "logicalType" in _keys(error.instance):
            yield path, f'the key "{missing}" is missing'
    elif error.validator == "type":
        listed = len(path) > 1 and path[-2] == "enum"
        yield path, _wrong_type(error) + ("; write {value: …}" if listed else "")
    elif error.validator == "enum":
        yield path, _not_listed(error, path)
    elif error.validator == "pattern":
        yield path, _wrong_form(error)
    elif error.validator == "oneOf" and _operators(error):
        yield path, f"exactly one of {', '.join(_operators(error))} is needed"
    elif error.validator == "not":
        yield path, "the key from must not stand here: the field itself is meant"
    else:
        yield path, _out_of_bounds(error)


def _out_of_bounds(error: ValidationError) -> str:
    """Say what a value lacks or has too much of."""
    limit = error.validator_value
    return {
        "minItems": f"at least {limit} {'item' if limit == 1 else 'items'} must stand here",
        "maxItems": f"at most {limit} items may stand here",
        "uniqueItems": "an item stands here twice",
        "minimum": f"must be at least {limit}",
        "exclusiveMinimum": f"must be above {limit}",
    }.get(str(error.validator), "not in a form that ODCS knows for this place")


def _operators(error: ValidationError) -> list[str]:
    branches = _list(error.validator_value)
    return [name for branch in branches for name in branch.get("required", [])]


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _wrong_type(error: ValidationError) -> str:
    wanted = error.validator_value
    names = [wanted] if isinstance(wanted, str) else _list(wanted)
    words = " or ".join(_TYPES.get(str(name), str(name)) for name in names)
    got = _kind(error.instance)
    quote = "string" in names and not isinstance(error.instance, dict | list | type(None))
    return f"{words} is wanted, this is {got}" + ("; put it in quotes" if quote else "")


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    return (
        "a list"
        if isinstance(value, list)
        else "a mapping"
        if isinstance(value, dict)
        else "a number"
    )


def _wrong_form(error: ValidationError) -> str:
    if re.search(r"ya\?ml", str(error.validator_value)):
        return "a reference has the form member/dataset.yaml#/schema/object/properties/field"
    return "only letters, digits, _ and - may stand here"


def _surplus(error: ValidationError, path: Path, broken: set[Path]) -> Iterator[tuple[Path, str]]:
    """Name the keys that the schema at this place does not know.

    A branch of the schema that fails for another reason makes the validator call keys surplus
    that it knows: those are left to that other reason.
    """
    known = set(_known_keys(error.schema))
    for key in _keys(error.instance):
        here = (*path, key)
        if key not in known:
            yield (
                here,
                f"unknown key{_its_place(key, path, error.instance) or suggestion(key, known)}",
            )
        elif key in _only_elsewhere(error) and not any(b[: len(here)] == here for b in broken):
            yield here, "this key does not belong to this logicalType"


_IN_OPTIONS = (
    "pattern", "format", "timezone", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "minLength", "maxLength", "minItems", "maxItems", "multipleOf",
)  # fmt: skip
_OPPOSITE = "; write required, which says the opposite"
_OTHERWISE = {
    "isNullable": _OPPOSITE,
    "nullable": _OPPOSITE,
    "type": "; write logicalType",
    "pii": "; write classification",
}
_BESIDE = ("enum", "required", "unique", "primaryKey", "primaryKeyPosition", "quality")


def _its_place(key: str, path: Path, holder: object) -> str:
    """Say where a key of a field stands that was written a level too high or too low."""
    if path[-1:] == ("logicalTypeOptions",) and key in _BESIDE:
        return "; it stands beside logicalType, not within logicalTypeOptions"
    if "logicalType" in _keys(holder) and key in _IN_OPTIONS:
        return f"; write logicalTypeOptions: {{{key}: …}}"
    field = not path and "apiVersion" not in _keys(holder)  # a piece of its own
    return _OTHERWISE.get(key, "") if field else ""


def _only_elsewhere(error: ValidationError) -> set[str]:
    """Give the keys of a property that only some logical types have, and this one has not."""
    kind = error.instance.get("logicalType") if isinstance(error.instance, dict) else None
    owners = {"items": "array", "map": "map", "properties": "object"}
    schema = error.schema if isinstance(error.schema, dict) else {}
    schema_object = "physicalName" in schema.get("properties", {})
    return set() if schema_object else {key for key, owner in owners.items() if owner != kind}


def _known_keys(schema: object, depth: int = 0) -> Iterator[str]:
    if not isinstance(schema, dict) or depth > 12:
        return
    yield from schema.get("properties", {})
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Any = standard()
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        yield from _known_keys(target, depth + 1)
    for word in _COMBINING:
        for branch in schema.get(word, []):
            yield from _known_keys(branch, depth + 1)
    for word in ("if", "then", "else"):
        yield from _known_keys(schema.get(word), depth + 1)
