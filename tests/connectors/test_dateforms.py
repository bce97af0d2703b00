"""Declared forms of dates: one way to read each text, and nothing filled in."""

import datetime as dt

import pyarrow as pa
import pytest
from zhixin_connectors.dateforms import date_form
from zhixin_errors import ConfigError

DAY = dt.date(2021, 3, 5)


@pytest.mark.parametrize(
    ("form", "texts", "others"),
    [
        (
            "y年M月d日",
            ["2021年3月5日", "2021年03月05日"],
            ["2021-03-05", "21年3月5日", "2021年3月5日 "],
        ),
        ("dd/MM/yyyy", ["05/03/2021"], ["5/3/2021", "05/03/21", "05/03/2021 00:00"]),
        ("yyyyMMdd", ["20210305"], ["2021035", "２０２１０３０５"]),
        ("d.M.y 'г.'", ["5.3.2021 г."], ["5.3.2021"]),
        ("uuuu-MM-dd", ["2021-03-05"], ["2021-3-5"]),
    ],
)
def test_a_text_is_a_date_in_the_declared_form_alone(form, texts, others):
    assert [date_form(form).parse(text) for text in texts] == [DAY] * len(texts)
    assert [date_form(form).parse(text) for text in others] == [None] * len(others)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("yy-MM-dd", "yy is no year of four digits"),
        ("y年m月d日", "m stands for nothing"),
        ("yyyyMd", "follows a number"),
        ("y-M", "needs y, M and d"),
        ("y-M-d y", "twice"),
        ("", "needs y, M and d"),
    ],
)
def test_refuses_a_form_that_could_be_read_in_two_ways(tmp_path, take, form, words):
    (tmp_path / "t.csv").write_text("day\n")
    with pytest.raises(ConfigError, match=words):
        take(tmp_path, "t.csv", {"day": pa.date32()}, options={"dateFormat": form})


def test_a_form_is_for_texts_and_typed_dates_stay_as_they_are(tmp_path, take):
    import pyarrow.parquet as pq

    far = pa.array([5], pa.int64()).cast(pa.timestamp("ms"))
    columns = {"a": pa.array([DAY]), "b": pa.array(["5.3.2021"]), "c": far}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    fields = dict.fromkeys("abc", pa.date32())
    table, misfits, _ = take(tmp_path, "t.parquet", fields, options={"dateFormat": "d.M.y"})
    assert table.to_pylist() == [{"a": DAY, "b": DAY, "c": None}]
    assert [reason for *_, reason, _ in misfits] == ["not a date: it has a time of day"]
