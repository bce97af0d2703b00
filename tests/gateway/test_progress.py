import io

import pytest
from zhixin_gateway.progress import LogProgress, NullProgress, RichProgress, make_progress


def _all_calls(progress):
    progress.step("extract", "a.example/b")
    progress.advance(1_000)
    progress.say("a [sentence] of its own")
    progress.warn("look here")
    progress.done()
    progress.step("write")
    progress.done("3 parts")
    progress.done()
    progress.close()


def test_a_log_has_a_line_a_step():
    stream = io.StringIO()
    _all_calls(LogProgress(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "a [sentence] of its own"
    assert lines[1] == "warning: look here"
    assert lines[2].startswith("a.example/b: extract: 1,000 records (")
    assert lines[3].startswith("write: 3 parts (")
    assert len(lines) == 4


def test_null_says_nothing(capsys):
    _all_calls(NullProgress())
    assert capsys.readouterr() == ("", "")


def test_rich_leaves_a_line_a_step_on_standard_error_alone(capsys):
    _all_calls(RichProgress())
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.example/b: extract: 1,000 records" in err
    assert "a [sentence] of its own" in err
    assert "look here" in err


@pytest.mark.parametrize(
    ("kind", "made"), [("null", NullProgress), ("log", LogProgress), ("rich", RichProgress)]
)
def test_the_display_is_the_one_that_was_asked_for(kind, made):
    assert isinstance(make_progress(kind), made)
    assert isinstance(make_progress("auto"), LogProgress)


@pytest.mark.parametrize("display", [LogProgress, RichProgress])
def test_names_that_others_chose_move_no_cursor_and_forge_no_line(display, capsys):
    progress = display()
    progress.warn("\x1b[2J\u202e is new\nerror: forged, 许可　证")
    progress.close()
    err = capsys.readouterr().err
    assert "\\x1b[2J\\u202e is new\\nerror: forged, 许可　证" in err
    assert "\x1b[2J" not in err
