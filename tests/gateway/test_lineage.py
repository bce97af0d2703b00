from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import ConfigError
from zhixin_gateway import pipeline
from zhixin_gateway.lineage import Graph, Node, lineage, lineage_svg, lineage_text


def _node(name, index, inputs=(), *, withdrawn=False):
    return Node(f"a.example/{name}", 1, index, "00" * 32, "1.0.0", withdrawn, True,
                tuple((f"a.example/{item}", 1) for item in inputs))  # fmt: skip


def _graph(*nodes):
    named = {(node.dataset, node.version): node for node in nodes}
    return Graph((nodes[0].dataset, 1), named)


DIAMOND = _graph(
    _node("top", 9, ["left", "right"]),
    _node("left", 7, ["base"], withdrawn=True),
    _node("right", 5, ["base"]),
    _node("base", 3),
)


def test_text_draws_every_way_to_every_input():
    assert lineage_text(DIAMOND).splitlines() == [
        "a.example/top@1  entry 9",
        "├── a.example/left@1  entry 7 WITHDRAWN",
        "│   └── a.example/base@1  entry 3",
        "└── a.example/right@1  entry 5",
        "    └── a.example/base@1  entry 3",
    ]


def test_svg_has_a_box_a_version_and_a_line_an_input():
    drawn = ET.fromstring(lineage_svg(DIAMOND))
    kinds = [element.tag.rpartition("}")[2] for element in drawn]
    assert kinds.count("rect") == 4
    assert kinds.count("path") == 4


@given(edges=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15))
def test_inputs_stand_to_the_left_and_no_two_boxes_share_a_place(edges):
    inputs = {n: sorted({b for a, b in edges if a == n and b > n}) for n in range(7)}
    reached, ahead = [], [0]
    while ahead:
        at = ahead.pop()
        if at not in reached:
            reached.append(at)
            ahead += inputs[at]
    graph = _graph(*(_node(f"n{n}", 20 - n, [f"n{i}" for i in inputs[n]]) for n in reached))
    drawn = ET.fromstring(lineage_svg(graph))
    boxes = [e for e in drawn if e.tag.endswith("rect")]
    places = {(box.get("x"), box.get("y")) for box in boxes}
    assert len(places) == len(reached)
    lefts = {n: int(box.get("x")) for n, box in zip(reached, boxes, strict=True)}
    assert all(lefts[i] < lefts[n] for n in reached for i in inputs[n])


def test_the_graph_follows_from_the_ledger_alone(world, at_faa):
    world.fill("places", [("JFK", "Kennedy")])
    pipeline.run(world.other, world.places())
    world.fill("stops", [("2024-01-02", "B", 10, "JFK")])
    pipeline.run(world.owner, world.stops(place=at_faa))
    client = world.other.ledger_client()
    client.sync()
    told = lineage(client, "bts.gov.example/stops", 1).to_json()
    assert told["edges"] == [{"from": "faa.gov.example/places@1", "to": "bts.gov.example/stops@1"}]
    assert [node["latest"] for node in told["nodes"]] == [True, True]
    with pytest.raises(ConfigError):
        lineage(client, "bts.gov.example/stops", 2)
