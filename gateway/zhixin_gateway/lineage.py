"""Lineage: what a version was made from, and what that was made from, out of the ledger alone.

Every dataset statement names its inputs by the hash of their entries, so the whole graph follows
from this home's own copy of the ledger, without any data::

    ntsb.gov.example/delays-by-weather@1  entry 24
    ├── bts.gov.example/flights@1  entry 20
    │   ├── faa.gov.example/airports@1  entry 4
    │   └── faa.gov.example/planes@1  entry 8
    ├── faa.gov.example/planes@1  entry 8
    └── noaa.gov.example/weather@1  entry 12

Pure but for reading entries; it says nothing about whether a version verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient

__all__ = ["Graph", "Node", "lineage", "lineage_svg", "lineage_text", "no_version"]

Name = tuple[str, int]


@dataclass(frozen=True)
class Node:
    """One version in the graph.

    Args:
        dataset: ``member/name``.
        version: its number.
        index: of its statement.
        statement: H of its entry, hex.
        contract: version of the contract that it keeps.
        withdrawn: it was taken back.
        latest: it is the newest version of its dataset.
        inputs: what it was made from.
    """

    dataset: str
    version: int
    index: int
    statement: str
    contract: str
    withdrawn: bool
    latest: bool
    inputs: tuple[Name, ...]

    @property
    def label(self) -> str:
        """As people write it."""
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True)
class Graph:
    """A version and all that it stands on."""

    root: Name
    nodes: dict[Name, Node]

    def to_json(self) -> dict[str, Any]:
        """Give nodes and edges as JSON."""
        return {
            "root": f"{self.root[0]}@{self.root[1]}",
            "nodes": [
                {
                    "dataset": node.dataset,
                    "version": node.version,
                    "index": node.index,
                    "statement": node.statement,
                    "contract": node.contract,
                    "withdrawn": node.withdrawn,
                    "latest": node.latest,
                }
                for node in self.nodes.values()
            ],
            "edges": [
                {"from": f"{name}@{number}", "to": node.label}
                for node in self.nodes.values()
                for name, number in node.inputs
            ],
        }


def lineage(client: LedgerClient, dataset: str, version: int) -> Graph:
    """Walk from a version to everything that it was made from.

    Args:
        client: a view of the ledger, brought up to date.
        dataset: ``member/name``.
        version: its number.

    Raises:
        ConfigError: the ledger has no such version.
    """
    nodes: dict[Name, Node] = {}
    ahead = [(dataset, version)]
    while ahead:
        name = ahead.pop()
        if name not in nodes:
            nodes[name] = _node(client, *name)
            ahead += reversed(nodes[name].inputs)
    return Graph((dataset, version), nodes)


def no_version(dataset: str, version: int) -> ConfigError:
    """The error of a version that the ledger does not have."""
    return ConfigError(
        f"the ledger has no {dataset}@{version}",
        hint="`zhixin ls` shows which versions there are",
    )


def _node(client: LedgerClient, dataset: str, version: int) -> Node:
    from zhixin_ledger.dsse import parse_envelope
    from zhixin_ledger.intoto import parse_statement
    from zhixin_ledger.kinds.dataset import DATASET

    stated = client.stated(dataset, version)
    fact = client.dataset(dataset)
    if stated is None or fact is None:
        raise no_version(dataset, version)
    says = DATASET.read(parse_statement(parse_envelope(client.entry(stated.index)).payload))
    return Node(
        dataset=dataset,
        version=version,
        index=stated.index,
        statement=stated.statement.hex(),
        contract=says.contract_version,
        withdrawn=version in fact.withdrawn,
        latest=version == fact.version,
        inputs=tuple((item.dataset, item.version) for item in says.inputs),
    )


def lineage_text(graph: Graph) -> str:
    """Draw the graph as a tree of lines; a version that stands in it twice is drawn twice."""
    lines: list[str] = []

    def draw(name: Name, head: str, below: str) -> None:
        node = graph.nodes[name]
        marks = " WITHDRAWN" if node.withdrawn else ""
        lines.append(f"{head}{node.label}  entry {node.index}{marks}")
        for at, item in enumerate(node.inputs):
            last = at == len(node.inputs) - 1
            draw(item, below + ("└── " if last else "├── "), below + ("    " if last else "│   "))

    draw(graph.root, "", "")
    return "\n".join(lines)


_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 270, 46, 90, 24


def lineage_svg(graph: Graph) -> str:
    """Draw the graph as SVG: inputs to the left, what was made from them to the right."""
    columns = _columns(graph)
    deepest = max(columns.values())
    rows: dict[int, int] = {}
    places: dict[Name, tuple[int, int]] = {}
    for name in graph.nodes:
        column = deepest - columns[name]
        row = rows[column] = rows.get(column, -1) + 1
        places[name] = (20 + column * (_WIDTH + _GAP_X), 20 + row * (_HEIGHT + _GAP_Y))
    width = 40 + (deepest + 1) * (_WIDTH + _GAP_X) - _GAP_X
    height = 40 + (max(rows.values()) + 1) * (_HEIGHT + _GAP_Y) - _GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
    ]
    for name, node in graph.nodes.items():
        parts += [_edge(places[item], places[name]) for item in node.inputs]
    parts += [_box(node, places[name]) for name, node in graph.nodes.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _columns(graph: Graph) -> dict[Name, int]:
    """How far each version lies from the root, by the longest way."""
    depth: dict[Name, int] = {graph.root: 0}
    order = sorted(graph.nodes.values(), key=lambda node: -node.index)
    for node in order:
        for item in node.inputs:
            own = depth.get((node.dataset, node.version), 0)
            depth[item] = max(depth.get(item, 0), own + 1)
    return depth


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0], end[1] + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return (
        f'<path d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}" fill="none" stroke="#789"/>'
    )


def _box(node: Node, place: tuple[int, int]) -> str:
    x, y = place
    fill = "#fdd" if node.withdrawn else "#eef4fb"
    told = f"entry {node.index}, contract {node.contract}"
    if node.withdrawn:
        told += ", withdrawn"
    text: Callable[[int, str], str] = lambda down, words: (  # noqa: E731 - two lines of one kind
        f'<text x="{x + 10}" y="{y + down}">{escape(words)}</text>'
    )
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" '
        f'stroke="#567"/>{text(19, node.label)}{text(37, told)}'
    )
