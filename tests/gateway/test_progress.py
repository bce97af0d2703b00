import io

import click
import pytest
from zhixin_gateway import progress as showing
from zhixin_gateway.progress import LogProgress, NullProgress, Pace, RichProgress, make_progress


def _all_calls(progress):
    progress.step("extract", "a.example/b")
    progress.expect(5_000)
    progress.advance(1_000, 64_000)
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


def test_a_narrow_terminal_shows_how_far_a_step_is_and_not_what_of(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    now = [0.0]
    monkeypatch.setattr(showing, "Pace", lambda: Pace(lambda: now[0]))
    progress = RichProgress()
    progress.step("extract", "registry.gov.example/vehicles, 64 spans by 4 processes")
    now[0] = 5.0
    progress.expect(3_000_000)
    progress.advance(1_000_000, 90_000_000)
    progress._bar.refresh()
    progress.close()
    assert (
        "extract 1,000,000 of about 3,000,000 records, 200,000/s, 90 MB, 10 s left"
        in click.unstyle(capsys.readouterr().err)
    )


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


def test_a_pace_tells_rate_bytes_and_the_time_left_where_the_count_is_known():
    now = [100.0]
    pace = Pace(lambda: now[0])
    now[0] += 2
    pace.add(20_000, 3_500_000)
    assert str(pace) == "20,000 records, 10,000/s, 4 MB"
    pace.total = 120_000
    assert str(pace) == "20,000 of about 120,000 records, 10,000/s, 4 MB, 10 s left"
    assert pace.ended() == "20,000 records (2.0 s, 10,000/s)"
    assert pace.ended("2 parts") == "2 parts (2.0 s, 10,000/s)"
    pace.total = 10_000  # the source said "about"
    assert str(pace) == "20,000 records, 10,000/s, 4 MB"


def test_a_pace_that_has_just_begun_divides_by_nothing():
    pace = Pace(lambda: 1.0)
    pace.total = 10
    assert str(pace) == "0 of about 10 records, 0/s"
    assert pace.ended() == "done (0.0 s)"


def test_a_log_says_every_half_minute_how_far_a_step_is(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(showing, "Pace", lambda: Pace(lambda: now[0]))
    stream = io.StringIO()
    progress = LogProgress(stream)
    progress.step("extract", "a.example/b")
    for _ in range(7):
        now[0] += 10
        progress.advance(1_000)
    progress.done()
    assert stream.getvalue().splitlines() == [
        "a.example/b: extract: 3,000 records, 100/s",
        "a.example/b: extract: 6,000 records, 100/s",
        "a.example/b: extract: 7,000 records (70.0 s, 100/s)",
    ]
