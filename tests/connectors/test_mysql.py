"""A real MariaDB as a source: every type exact or refused."""

import datetime as dt
import struct
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from zhixin_connectors import mysql
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import ConfigError, PermanentSourceError, SourceError

I64, U64, F64, TEXT, BOOL = pa.int64(), pa.uint64(), pa.float64(), pa.string(), pa.bool_()
BYTES, DATE, TIME, LOCAL = pa.binary(), pa.date32(), pa.time64("us"), pa.timestamp("us")
UTC = pa.timestamp("us", tz="UTC")
BAD = object()
WKB = struct.pack("<IBIdd", 0, 1, 1, 1.0, 2.0)
LONGEST = "1234567890123456789012345678901234" + "5.123456789012345678901234567890"
CASES = [
    # integers, at their edges
    ("tinyint", "-128", I64, -128, None),
    ("tinyint unsigned", "255", I64, 255, None),
    ("smallint", "-32768", I64, -32768, None),
    ("smallint unsigned", "65535", I64, 65535, None),
    ("mediumint", "-8388608", I64, -8388608, None),
    ("mediumint unsigned", "16777215", I64, 16777215, None),
    ("int", "-2147483648", I64, -2147483648, None),
    ("int unsigned", "4294967295", I64, 4294967295, None),
    ("bigint", "-9223372036854775808", I64, -(2**63), None),
    ("bigint", "9223372036854775807", I64, 2**63 - 1, None),
    ("bigint", "-1", U64, BAD, "-1"),
    ("bigint unsigned", "18446744073709551615", U64, 2**64 - 1, None),
    ("bigint unsigned", "18446744073709551615", I64, BAD, "18446744073709551615"),
    ("bigint unsigned", "9007199254740993", F64, BAD, "9007199254740993"),
    ("bigint unsigned", "18446744073709551615", pa.decimal128(20, 0), Decimal(2**64 - 1), None),
    ("int(6) zerofill", "42", I64, 42, None),
    ("int(6) zerofill", "42", TEXT, "000042", None),
    ("tinyint(1)", "1", BOOL, True, None),
    ("tinyint(1)", "2", BOOL, BAD, "2"),
    ("tinyint(1)", "-1", I64, -1, None),
    ("boolean", "false", BOOL, False, None),
    ("boolean", "true", TEXT, "1", None),
    ("year", "0", I64, 0, None),
    ("year", "2155", I64, 2155, None),
    ("year", "0", TEXT, "0000", None),
    ("year", "1901", DATE, BAD, "1901"),
    # decimals
    ("decimal(65,30)", LONGEST, TEXT, LONGEST, None),
    ("decimal(65,30)", LONGEST, pa.decimal128(38, 30), BAD, LONGEST),
    ("decimal(65,0)", "9" * 65, TEXT, "9" * 65, None),
    ("decimal(65,0)", "-" + "9" * 65, pa.decimal128(38, 0), BAD, "-" + "9" * 65),
    ("decimal(38,10)", "-" + "9" * 28 + "." + "9" * 10, pa.decimal128(38, 10),
     Decimal("-" + "9" * 28 + "." + "9" * 10), None),
    ("decimal(38,38)", "0." + "1" * 38, pa.decimal128(38, 38), Decimal("0." + "1" * 38), None),
    ("decimal(10,3)", "5", I64, 5, None),
    ("decimal(10,3)", "5.125", I64, BAD, "5.125"),
    ("decimal(10,3)", "5.125", pa.decimal128(10, 2), BAD, "5.125"),
    ("decimal(10,2) unsigned zerofill", "1.5", TEXT, "00000001.50", None),
    ("decimal(10,2)", "0.1", F64, 0.1, None),
    # floats
    ("float", "0.1", F64, 0.10000000149011612, None),
    ("float", "16777216", F64, 16777216.0, None),
    ("float", "16777216", I64, 16777216, None),
    ("float", "3.4028235e38", F64, 3.4028234663852886e38, None),
    ("float", "1.17549435e-38", F64, 1.1754943508222875e-38, None),
    ("float", "1e-45", F64, 1.401298464324817e-45, None),
    ("float", "-1e-300", F64, -0.0, None),
    ("float(7,4)", "999.00009", F64, 999.0001220703125, None),
    ("float", "0.1", TEXT, "0.1", None),
    ("float", "16777216", TEXT, BAD, "16777216"),
    ("float", "0.1", pa.decimal128(5, 1), BAD, "0.10000000149011612"),
    ("double", "0.1", F64, 0.1, None),
    ("double", "1.7976931348623157e308", F64, 1.7976931348623157e308, None),
    ("double", "-5e-324", F64, -5e-324, None),
    ("double", "123456789012345678", F64, 123456789012345680.0, None),
    ("double", "1e22", F64, 1e22, None),
    ("double", "1e22", I64, BAD, "1e22"),
    ("double", "1e15", I64, 10**15, None),
    ("double", "0.1", TEXT, "0.1", None),
    ("double(10,2)", "0.1", TEXT, "0.10", None),
    ("double(10,2)", "0.126", F64, 0.13, None),
    # bits
    ("bit(1)", "b'1'", BOOL, True, None),
    ("bit(1)", "b'0'", BOOL, False, None),
    ("bit(2)", "b'10'", BOOL, BAD, "2"),
    ("bit(9)", "b'101000001'", I64, 321, None),
    ("bit(9)", "b'1'", TEXT, "000000001", None),
    ("bit(9)", "b'101000001'", BYTES, b"\x01\x41", None),
    ("bit(64)", "18446744073709551615", U64, 2**64 - 1, None),
    ("bit(64)", "18446744073709551615", I64, BAD, "18446744073709551615"),
    # dates and times
    ("date", "'1000-01-01'", DATE, dt.date(1000, 1, 1), None),
    ("date", "'0001-01-01'", DATE, dt.date(1, 1, 1), None),
    ("date", "'9999-12-31'", DATE, dt.date(9999, 12, 31), None),
    ("date", "'0000-00-00'", DATE, BAD, "0000-00-00"),
    ("date", "'2024-06-00'", DATE, BAD, "2024-06-00"),
    ("date", "'2024-00-06'", TEXT, "2024-00-06", None),
    ("date", "'2024-01-05'", LOCAL, BAD, "2024-01-05"),
    ("datetime", "'9999-12-31 23:59:59'", LOCAL, dt.datetime(9999, 12, 31, 23, 59, 59), None),  # noqa: DTZ001
    ("datetime(6)", "'2024-03-31 02:30:00.123456'", LOCAL,
     dt.datetime(2024, 3, 31, 2, 30, 0, 123456), None),  # noqa: DTZ001
    ("datetime(6)", "'0000-00-00'", LOCAL, BAD, "0000-00-00 00:00:00.000000"),
    ("datetime", "'2024-00-00 01:00:00'", LOCAL, BAD, "2024-00-00 01:00:00"),
    ("datetime", "'2024-01-01 00:00:00'", UTC, BAD, "2024-01-01 00:00:00"),
    ("datetime", "'2024-01-01 00:00:00'", DATE, dt.date(2024, 1, 1), None),
    ("timestamp(6) null", "'2038-01-19 03:14:07.999999'", UTC,
     dt.datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=dt.UTC), None),
    ("timestamp null", "'1970-01-01 00:00:01'", UTC,
     dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC), None),
    ("timestamp null", "'2024-01-01 00:00:00'", LOCAL, BAD, "2024-01-01 00:00:00+00"),
    ("timestamp null", "'2024-01-01 00:00:00'", DATE, BAD, "2024-01-01 00:00:00+00"),
    ("timestamp null", "'2024-01-01 00:00:00'", TEXT, "2024-01-01 00:00:00+00", None),
    ("timestamp null", "'0000-00-00'", UTC, BAD, "0000-00-00 00:00:00+00"),
    ("time(6)", "'23:59:59.999999'", TIME, dt.time(23, 59, 59, 999999), None),
    ("time", "'24:00:00'", TIME, BAD, "24:00:00"),
    ("time", "'-00:30:00'", TIME, BAD, "-00:30:00"),
    ("time(6)", "'838:59:59.999999'", TEXT, "838:59:59.999999", None),
    ("time", "'-838:59:59'", TEXT, "-838:59:59", None),
    # texts
    ("char(5)", "'ab   '", TEXT, "ab", None),
    ("varchar(20)", "'ab   '", TEXT, "ab   ", None),
    ("varchar(20)", "''", TEXT, "", None),
    ("varchar(20)", "'a\\0b'", TEXT, "a\0b", None),
    ("varchar(20)", "'👩‍👩‍👧 𠮷'", TEXT, "👩‍👩‍👧 𠮷", None),
    ("varchar(20)", "'YWJj'", BYTES, BAD, "YWJj"),
    ("varchar(20)", "'5.000'", I64, 5, None),
    ("longtext", "repeat('长', 100000)", TEXT, "长" * 100000, None),
    ("varchar(20) character set latin1", "'é€\x81'", TEXT, "é€\x81", None),
    ("varchar(20) character set gbk", "'中？?'", TEXT, "中？?", None),
    ("varchar(20) character set gbk", "x'AAA13F'", TEXT, BAD, "\\xaa\\xa1?"),
    ("varchar(20) character set gbk", "x'AAA1'", I64, BAD, "\\xaa\\xa1"),
    ("varchar(20) character set big5", "'中'", TEXT, "中", None),
    ("varchar(20) character set cp932", "x'FA4A3F'", TEXT, "Ⅰ?", None),
    ("varchar(20) character set cp1251", "x'983FE0'", TEXT, BAD, "\\x98?\\xe0"),
    ("varchar(20) character set ascii", "'?a'", TEXT, "?a", None),
    ("varchar(20) character set utf16", "'😀?'", TEXT, "😀?", None),
    ("varchar(20) character set utf32", "'😀'", TEXT, "😀", None),
    ("varchar(20) character set utf8mb3", "'中\uffff'", TEXT, "中\uffff", None),
    ("varchar(20) character set ucs2", "x'D83D0041'", TEXT, BAD, "\\xed\\xa0\\xbdA"),
    ("enum('a','','b')", "2", TEXT, "", None),
    ("enum('a','b')", "'no such'", TEXT, "", None),
    ("enum('甲','乙')", "'乙'", TEXT, "乙", None),
    ("set('x','y','z')", "'z,x'", TEXT, "x,z", None),
    ("set('x','y')", "''", TEXT, "", None),
    ("json", """'{"b": 1.50, "a": 12345678901234567890}'""", TEXT,
     '{"b": 1.50, "a": 12345678901234567890}', None),
    ("json", "'[1, null, 9007199254740993]'", pa.list_(I64), [1, None, 9007199254740993], None),
    ("json", "'[18446744073709551616]'", pa.list_(I64), BAD, "[18446744073709551616]"),
    ("uuid", "'12345678-1234-5678-1234-567812345678'", TEXT,
     "12345678-1234-5678-1234-567812345678", None),
    ("inet4", "'10.0.0.1'", TEXT, "10.0.0.1", None),
    ("inet6", "'::ffff:10.0.0.1'", TEXT, "::ffff:10.0.0.1", None),
    # bytes
    ("binary(4)", "'ab'", BYTES, b"ab\0\0", None),
    ("varbinary(9)", "x'00ff20'", BYTES, b"\x00\xff ", None),
    ("blob", "''", BYTES, b"", None),
    ("blob", "x'00ff'", TEXT, BAD, "\\x00ff"),
    ("longblob", "repeat(x'00', 100000)", BYTES, b"\0" * 100000, None),
    ("point", "point(1, 2)", BYTES, WKB, None),
    ("geometry", "point(1, 2)", TEXT, BAD, "\\x" + WKB.hex()),
]  # fmt: skip


def test_each_type_is_exact_or_a_misfit_with_the_servers_text(mariadb, take):
    url, run = mariadb
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(CASES))
    run(f"CREATE TABLE torture (nr int auto_increment primary key, {columns})")
    run("SET time_zone = '+00:00'")
    names = ", ".join(f"c{n}" for n in range(len(CASES)))
    run(f"INSERT INTO torture ({names}) VALUES ({', '.join(case[1] for case in CASES)})")
    run("INSERT INTO torture () VALUES ()")
    wanted = {f"c{n}": case[2] for n, case in enumerate(CASES)}
    table, misfits, raw = take(url, "torture", wanted)
    for n, (kind, _, _, value, text) in enumerate(CASES):
        read = table[f"c{n}"].to_pylist()
        assert read == [None if value is BAD else value, None], (n, kind)
        assert value is BAD or not isinstance(value, float) or repr(read[0]) == repr(value), kind
        found = [m for m in misfits if m[1] == f"c{n}"]
        assert [(m[0], m[3]) for m in found] == ([(0, text)] if value is BAD else []), (n, kind)
        assert text is None or raw[f"c{n}"].to_pylist() == [text, None], kind


def test_every_float_comes_back_as_the_nearest_it_was_stored_as(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (id int primary key, f float, d double)")
    import random

    chance = random.Random(7)
    doubles = []
    while len(doubles) < 3000:
        value = struct.unpack("<d", chance.randbytes(8))[0]
        if abs(value) < 3e38 and abs(value) > 1e-37:
            doubles.append(value)
    narrow = [struct.unpack("<f", struct.pack("<f", value))[0] for value in doubles]
    rows = [(n, repr(narrow[n]), repr(double)) for n, double in enumerate(doubles)]
    run("INSERT INTO t VALUES (%s, %s, %s)", rows)
    table, misfits, _ = take(url, "t", {"f": F64, "d": F64})
    assert misfits == []
    assert table["f"].to_pylist() == narrow
    assert table["d"].to_pylist() == doubles


@pytest.mark.parametrize("zone", ["+00:00", "-11:00", "+08:00"])
def test_a_servers_time_zone_shifts_nothing(mariadb, take, zone):
    url, run = mariadb
    run("CREATE TABLE t (i timestamp null, d datetime)")
    run("SET time_zone = '+00:00'; INSERT INTO t VALUES ('2024-01-01', '2024-01-01')")
    run(f"SET GLOBAL time_zone = '{zone}'")
    try:
        table, misfits, _ = take(url, "t", {"i": UTC, "d": LOCAL})
    finally:
        run("SET GLOBAL time_zone = 'SYSTEM'")
    assert misfits == []
    assert table.to_pylist() == [
        {"i": dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "d": dt.datetime(2024, 1, 1)}  # noqa: DTZ001
    ]


def test_a_declared_zone_is_that_of_datetime_and_not_of_timestamp(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (i timestamp null, d datetime)")
    run("SET time_zone = '+00:00'; INSERT INTO t VALUES ('2024-01-01', '2024-01-01')")
    options = {"zhixin.timezone": "Asia/Shanghai"}
    table, _, _ = take(url, "t", {"i": UTC, "d": UTC}, options=options)
    assert table["i"].to_pylist() == [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]
    assert table["d"].to_pylist() == [dt.datetime(2023, 12, 31, 16, tzinfo=dt.UTC)]


def test_a_servers_own_limits_and_modes_change_nothing(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (c char(5), n int); INSERT INTO t VALUES ('ab', 1), ('cd', 2), ('ef', 3)")
    modes = "ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES"
    before = "SET GLOBAL sql_mode = DEFAULT, GLOBAL sql_select_limit = DEFAULT"
    before += ", GLOBAL group_concat_max_len = DEFAULT, GLOBAL tx_isolation = DEFAULT"
    run(f"SET GLOBAL sql_mode = '{modes}', GLOBAL sql_select_limit = 2")
    run("SET GLOBAL group_concat_max_len = 4, GLOBAL tx_isolation = 'READ-UNCOMMITTED'")
    try:
        table, _, _ = take(url, "t", {"c": TEXT})
        joined, _, _ = take(url, "SELECT group_concat(c) AS `all` FROM t", {"all": TEXT})
        waits, _, _ = take(url, "SELECT @@lock_wait_timeout AS seconds", {"seconds": I64})
    finally:
        run(before)
    assert waits["seconds"].to_pylist() == [30]  # and not the day that is the server's own
    assert table["c"].to_pylist() == ["ab", "cd", "ef"]
    assert joined["all"].to_pylist() == ["ab,cd,ef"]


def test_a_zero_date_is_null_where_the_contract_says_so(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (d date, t timestamp null); INSERT INTO t VALUES ('0000-00-00', 0)")
    null = {"zhixin.null": ["0000-00-00", "0000-00-00 00:00:00+00"]}
    table, misfits, _ = take(url, "t", {"d": DATE, "t": UTC}, options=null)
    assert (table.to_pylist(), misfits) == ([{"d": None, "t": None}], [])


def test_generated_and_invisible_columns_and_sequences_are_read(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (n int, twice int AS (n * 2) VIRTUAL, kept int AS (n + 1) STORED, "
        "hidden int INVISIBLE DEFAULT 7); INSERT INTO t (n) VALUES (4)")  # fmt: skip
    run("CREATE SEQUENCE s START WITH 5")
    table, _, _ = take(url, "t", dict.fromkeys(("n", "twice", "kept", "hidden"), I64))
    assert table.to_pylist() == [{"n": 4, "twice": 8, "kept": 5, "hidden": 7}]
    assert take(url, "s", {"next_not_cached_value": I64})[0].to_pylist() == [
        {"next_not_cached_value": 5}
    ]


def test_odd_names_other_databases_and_views_are_read(mariadb, take):
    url, run = mariadb
    run("DROP DATABASE IF EXISTS `other 100%`; CREATE DATABASE `other 100%`")
    run('CREATE TABLE `other 100%`.`T%s``x` (`编号` int, `50%` int, `a"b` int, `c``d` int)')
    run("INSERT INTO `other 100%`.`T%s``x` VALUES (1, 2, 3, 4)")
    run("CREATE VIEW `看` AS SELECT `编号` FROM `other 100%`.`T%s``x`")
    names = ["编号", "50%", 'a"b', "c`d"]
    try:
        table, _, _ = take(url, "other 100%.T%s`x", dict.fromkeys(names, I64))
        view, _, _ = take(url, "看", {"编号": I64})
        seen = {each.name: each for each in open_source(url).tables()}
    finally:
        run("DROP DATABASE `other 100%`")
    assert table.to_pylist() == [dict(zip(names, range(1, 5), strict=True))]
    assert view.to_pylist() == [{"编号": 1}]
    assert seen["看"].kind == "view"
    assert list(seen["other 100%.T%s`x"].columns) == names
    assert not [name for name in seen if name.startswith(("mysql.", "information_schema."))]


def test_counts_of_rows_are_told_where_the_engine_keeps_them(mariadb):
    url, run = mariadb
    run("CREATE TABLE m (n int) ENGINE=MyISAM; INSERT INTO m VALUES (1), (2), (3)")
    run("CREATE TABLE i (n int) ENGINE=InnoDB; INSERT INTO i VALUES (1), (2), (3)")
    seen = {each.name: each.rows for each in open_source(url).tables()}
    assert (seen["m"], seen["i"]) == (3, None)


def test_an_url_without_a_database_names_tables_with_theirs(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    bare = url.removesuffix("one_case")
    assert take(bare, "one_case.t", {"n": I64})[0]["n"].to_pylist() == [1]
    assert "one_case.t" in [table.name for table in open_source(bare).tables()]
    with pytest.raises(PermanentSourceError):
        take(bare, "t", {"n": I64})


def test_a_query_is_one_relation(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (s varchar(9) character set gbk); INSERT INTO t VALUES ('中'), (x'AAA1')")
    query = "WITH q AS (SELECT s, '50%' AS p FROM t) SELECT *, 1 + 1 AS two FROM q;"
    table, misfits, _ = take(url, query, {"s": TEXT, "p": TEXT, "two": I64})
    assert table["s"].to_pylist() == ["中", None]
    assert [each[3] for each in misfits] == ["\\xaa\\xa1"]
    assert table["p"].to_pylist() == ["50%", "50%"]
    with pytest.raises(PermanentSourceError, match="more than once"):
        take(url, "SELECT 1 AS a, 2 AS a, 3 AS b", {"b": I64})


def test_order_by_sorts_texts_by_the_bytes_of_utf8(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (s varchar(9), g varchar(9) character set gbk, u uuid, n int)")
    early, late = "00000000-0000-1000-8000-000000000001", "10000000-0000-0000-8000-000000000000"
    run(
        "INSERT INTO t VALUES (%s, %s, %s, %s)",
        [
            ("b", "一", early, 10),
            ("B", "丁", late, 9),
            ("a ", "中", None, 2),
            ("a\t", "阿", None, 1),
        ],
    )

    def order(name, kind=TEXT):
        read = take(url, "t", {name: kind}, order_by=(name,))[0][name].to_pylist()
        return [value for value in read if value is not None]

    assert order("s") == ["B", "a\t", "a ", "b"]
    assert order("g") == sorted(["一", "丁", "中", "阿"])
    assert order("u") == sorted(order("u"))
    assert order("n", I64) == [1, 2, 9, 10]


def test_a_batch_is_bounded_in_bytes_and_rows(mariadb):
    url, run = mariadb
    run("CREATE TABLE t AS SELECT seq AS id, repeat('x', 1000000) AS s FROM seq_1_to_100")
    request = ReadRequest("t", pa.schema([("id", I64), ("s", TEXT)]))
    sizes = [each.batch.num_rows for each in open_source(url).read(request)]
    assert sum(sizes) == 100
    assert max(sizes) < 50


def test_infer_proposes_what_each_type_says(mariadb):
    url, run = mariadb
    run(
        "CREATE TABLE t (b int, a bigint unsigned, flag boolean, stage tinyint(1), bits bit(1), "
        "mask bit(9), y year, m decimal(12,2), wide decimal(65,30), f float, born date NOT NULL, "
        "seen datetime, ts timestamp(6) null, opens time, lasts time, e enum('x','y'), j json, "
        "u uuid, x blob, g geometry, i int unsigned, h int INVISIBLE, PRIMARY KEY (b, a))"
    )
    run("INSERT INTO t (b, a, flag, stage, bits, mask, y, m, wide, f, born, seen, ts, opens, "
        "lasts, e, j, u, x, g, i, h) VALUES (1, 2, 1, 2, b'1', b'101', 2024, 1.5, 1.125, 0.1, "
        "'2024-01-01', '2024-01-01', "
        "'2024-01-01', '08:00', '25:30', 'x', '{}', uuid(), 'x', point(1,2), 7, 8)")  # fmt: skip
    run("INSERT INTO t (b, a, flag, born) SELECT seq, 2, 0, '2024-01-01' FROM seq_2_to_40")
    seen = open_source(url).describe("t")
    assert seen.primary_key == ("b", "a")
    assert {column.name: column.type for column in seen.columns} == {
        "b": I64, "a": U64, "flag": BOOL, "stage": I64, "bits": BOOL, "mask": I64, "y": I64,
        "m": pa.decimal128(12, 2), "wide": pa.decimal128(38, 30), "f": F64, "born": DATE,
        "seen": LOCAL, "ts": UTC, "opens": TIME, "lasts": TEXT, "e": TEXT, "j": TEXT, "u": TEXT,
        "x": BYTES, "g": BYTES, "i": I64, "h": I64,
    }  # fmt: skip
    of = {column.name: column for column in seen.columns}
    assert "guessed from tinyint(1)" in of["flag"].remark
    assert (of["born"].nullable, of["seen"].nullable) == (False, True)
    assert of["e"].source_type == "enum('x','y')"
    assert [column.name for column in open_source(url).columns("t")] == list(of)


def test_infer_keeps_a_date_where_most_are_zero(mariadb):
    url, run = mariadb
    run("CREATE TABLE t (d date); INSERT INTO t VALUES (0), (0), ('2024-01-05'), (NULL)")
    [column] = open_source(url).describe("t").columns
    assert (column.type, column.misfits, column.nulls) == (DATE, 2, 1)
    assert column.remark == (
        "zero dates are rejects, or null where zhixin.null lists them, such as 0000-00-00"
    )


def test_infer_of_an_empty_table_says_what_it_guessed(mariadb):
    url, run = mariadb
    run("CREATE TABLE t (flag boolean, opens time)")
    seen = open_source(url).describe("t")
    assert [column.type for column in seen.columns] == [BOOL, TIME]
    assert all("no value was seen" in column.remark for column in seen.columns)


def test_a_setting_of_the_url_that_is_none_is_refused(mariadb):
    url, _ = mariadb
    with pytest.raises(ConfigError, match="sslmode"):
        open_source(f"{url}?sslmode=require").check()
    open_source(f"{url}?charset=gbk&connect_timeout=5").check()


@pytest.mark.slow
def test_cells_of_any_length_come_whole_and_null_and_empty_apart(mariadb):
    """Also where a row takes several packets, and where one ends at a packet's very end."""
    url, run = mariadb
    whole = 2**24 - 1
    sizes = [0, 1, 250, 251, 252, 65_535, 65_536, whole - 9, whole - 8, whole - 7, 2 * whole - 14]
    run("CREATE TABLE t (n int, a varchar(9), s longblob, b varchar(9))")
    rows = [f"({n}, '', REPEAT('x', {size}), NULL)" for n, size in enumerate(sizes)]
    for row in [*rows, "(99, NULL, NULL, NULL)", "(100, 'a', '', 'b')"]:
        run(f"INSERT INTO t VALUES {row}")
    schema = pa.schema({"n": pa.int64(), "a": pa.string(), "s": pa.binary(), "b": pa.string()})
    table = pa.Table.from_batches(
        each.batch for each in open_source(url).read(ReadRequest("t", schema))
    )
    assert pc.binary_length(table["s"]).to_pylist() == [*sizes, None, 0]
    assert set(b"".join(table["s"].drop_null().to_pylist())) == set(b"x")
    assert table["a"].to_pylist() == ["" for _ in sizes] + [None, "a"]
    assert table["b"].to_pylist() == [None for _ in sizes] + [None, "b"]
    assert table["n"].to_pylist() == [*range(len(sizes)), 99, 100]


def test_an_error_in_the_middle_of_the_rows_is_said(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t AS SELECT seq AS id FROM seq_1_to_5000; CREATE TABLE two AS SELECT 1 AS x "
        "UNION ALL SELECT 2")  # fmt: skip
    query = "SELECT IF(id < 4000, id, (SELECT x FROM two)) AS id FROM t"
    with pytest.raises(SourceError, match=r"the query.*error 1242"):
        take(url, query, {"id": pa.int64()}, batch_rows=100)


def test_an_index_gives_the_order_where_its_collation_is_that_of_bytes(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (s varchar(9) COLLATE utf8mb4_bin PRIMARY KEY, c varchar(9) "
        "COLLATE utf8mb4_general_ci, e enum('b', 'a') COLLATE utf8mb4_bin)")  # fmt: skip
    run("INSERT INTO t VALUES ('b', 'B', 'a'), ('B', 'a', 'b'), ('é', 'é', 'b'), ('a', 'b', 'a')")
    statements = []
    fields = dict.fromkeys("sce", pa.string())
    with pytest.MonkeyPatch.context() as patch:
        own = mysql._streamed

        def watched(connection, statement, request):
            statements.append(statement)
            return own(connection, statement, request)

        patch.setattr(mysql, "_streamed", watched)
        for key in "sce":
            found = take(url, "t", fields, order_by=(key,))[0][key].to_pylist()
            assert found == sorted(found)
    assert [statement.rpartition("ORDER BY ")[2] for statement in statements] == [
        "`s`",
        "CAST(CONVERT(`c` USING utf8mb4) AS BINARY)",
        "CAST(CONVERT(`e` USING utf8mb4) AS BINARY)",
    ]
