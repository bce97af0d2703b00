"""Every field case has its test, every input is used, and no input was changed."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

HERE = Path(__file__).parent
FILES = HERE / "files"
CASES = [line.split(maxsplit=1) for line in (HERE / "cases.txt").read_text("utf-8").splitlines()]
MODULES = sorted(set(HERE.glob("test_*_cases.py")) - {Path(__file__)})


def names_in(module):
    """The names of a module's test functions."""
    tree = ast.parse(module.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if node.name.startswith("test_")]


def test_every_case_has_a_test_where_the_list_says():
    assert len(CASES) == len({number for number, _ in CASES}) == 36
    for number, told in CASES:
        module = HERE / told.rsplit(maxsplit=1)[1]
        named = f"test_{number.lower().replace('-', '_')}_"
        assert module.is_file(), (number, module.name)
        assert any(name.startswith(named) for name in names_in(module)), (number, module.name)


def test_every_input_is_used_and_none_was_changed():
    pinned = {}
    for line in (HERE / "files.sha256").read_text("utf-8").splitlines():
        digest, name = line.split(maxsplit=1)
        pinned[name] = digest
    there = {str(path.relative_to(FILES)): path for path in FILES.rglob("*") if path.is_file()}
    assert pinned.keys() == there.keys()
    for name, path in there.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == pinned[name], name
    sources = "\n".join(module.read_text("utf-8") for module in MODULES)
    assert [name for name in there if name.partition("/")[0] not in sources] == []
