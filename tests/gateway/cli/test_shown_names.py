"""Names that a source chose, as a terminal and a program are told them."""

import json


def test_a_sources_names_move_no_cursor_and_forge_no_line(zhixin, tmp_path):
    name = "\x1b[2J\nerror: forged"
    (tmp_path / "a.json").write_text(json.dumps({"rows": []}))
    told = zhixin("source", "infer", tmp_path, f"{name}.json", "--dataset", "a.example/b")
    assert told.code == 2
    assert "\x1b" not in told.err
    assert "\nerror: forged" not in told.err
    assert "\\x1b[2J\\nerror: forged" in told.err
