"""``zhixin cat``: verified records to standard output, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from zhixin_gateway.cli.gate_options import GateOptions, gate_options
from zhixin_gateway.cli.options import Context, examples, home_option, say

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["command"]


@click.command(
    "cat",
    epilog=examples(
        "zhixin cat city.gov.example/permits --format json",
        "zhixin cat city.gov.example/permits --column id --streaming",
        "zhixin cat city.gov.example/permits --sql 'SELECT count(*) AS n FROM permits'",
        "zhixin cat /media/disk/permits-2 --trust trust --expect city.gov.example/permits@2",
    ),
)
@click.argument("name", metavar="MEMBER/DATASET[@N]")
@click.option("--sql", help='One SELECT over it; the table is "MEMBER/DATASET", or DATASET alone.')
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "arrow"]),
    default="csv",
    show_default=True,
    help="json: one object a line; arrow: an Arrow stream.",
)
@click.option(
    "--column",
    "columns",
    metavar="FIELD",
    multiple=True,
    help="Only this field; may be repeated, in the order that is wanted.",
)
@click.option(
    "--part",
    "parts",
    metavar="N",
    type=click.IntRange(min=0),
    multiple=True,
    help="Only this part of the version, from 0; may be repeated.",
)
@click.option(
    "--streaming",
    is_flag=True,
    help="Verify each part as it is read; one that fails ends the output where it stands.",
)
@gate_options(without=["require_standing"])
@click.option("--expect", metavar="NAME[@N]", help="For a path: the version that it must be.")
@click.option(
    "--unsafe-no-standing",
    is_flag=True,
    help="Read though nothing tells whether the version was withdrawn since.",
)
@home_option
@click.pass_obj
def command(
    context: Context,
    name: str,
    *,
    sql: str | None,
    form: str,
    columns: tuple[str, ...],
    parts: tuple[int, ...],
    streaming: bool,
    expect: str | None,
    judged: GateOptions,
    unsafe_no_standing: bool,
) -> None:
    """Print the records of a version, which may also be a directory's path. Verified, or none.

    In CSV every value is written in its canonical form, and null is an empty field.

    With --streaming records are printed once the part that they are in has held, before the parts
    after it are read: what was printed is the whole only if the command ends with 0.
    """
    if sql is not None and (columns or parts):
        raise click.UsageError("--sql goes with neither --column nor --part: it names its own")
    from zhixin_gateway.opening import open as open_dataset

    opened = open_dataset(
        name,
        home=context.home,
        trust=judged.trust_dir,
        expect=expect,
        max_age=judged.max_age,
        standings=judged.standings,
        ledger=judged.ledger_url,
        strict_inputs=judged.strict_inputs,
        current_keys=judged.current_keys,
        unsafe_no_standing=unsafe_no_standing,
        streaming=streaming,
    )
    for warning in opened.warnings:
        say(f"warning: {warning}")
    if sql is None:
        answer = opened.reader(columns or None, parts=parts or None)
    else:
        answer = opened.sql(sql).to_reader()
    _WRITERS[form](answer.schema, iter(answer))
    sys.stdout.flush()


def _csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(schema.names)
    sys.stdout.write(header.getvalue())
    for row in _values(batches):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([_cell(value) for value in row])
        sys.stdout.write(line.getvalue())


def _json(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    from zhixin_gateway.cli.plain import json_value

    for row in _values(batches):
        record = {
            field.name: json_value(element, field.type)
            for field, element in zip(schema, row, strict=True)
        }
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def _arrow(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa

    stdout: Any = sys.stdout.buffer
    sink = pa.PythonFile(stdout, mode="w")
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _values(batches: Iterator[pa.RecordBatch]) -> Iterator[list[Any]]:
    """The canonical elements of each record."""
    from zhixin_gateway.cli.plain import elements

    for batch in batches:
        yield from elements(batch)


def _cell(value: Any) -> str:  # noqa: ANN401 - a JSON value
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_WRITERS = {"csv": _csv, "json": _json, "arrow": _arrow}
