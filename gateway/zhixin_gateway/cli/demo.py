"""``zhixin demo``: the main job on real data, from nothing."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.options import Context, answer, examples, json_option, say, table

if TYPE_CHECKING:
    from zhixin_gateway.demo.story import Published, Shown
    from zhixin_gateway.demo.world import World
    from zhixin_gateway.pipeline import RunResult
    from zhixin_gateway.progress import Progress

__all__ = ["command"]

_COLUMNS = [
    "dataset",
    "version",
    "records",
    "quarantined",
    "warned",
    "root",
    "index",
    "cosigners",
    "seconds",
    "standing",
]


@click.command("demo", epilog=examples("zhixin demo zhixin-demo"))
@click.argument(
    "directory", metavar="[DIR]", default="zhixin-demo", type=click.Path(path_type=Path)
)
@click.option("--bts-url", metavar="URL", help="Where BTS's records lie or are put.")
@click.option("--faa-url", metavar="URL", help="Where FAA's records lie or are put.")
@click.option("--noaa-url", metavar="URL", help="Where NOAA's records lie or are put.")
@click.option(
    "--network",
    is_flag=True,
    help="Each member a process over HTTP on loopback; two witnesses die and come back.",
)
@json_option
@click.pass_obj
def command(
    context: Context,
    directory: Path,
    *,
    bts_url: str | None,
    faa_url: str | None,
    noaa_url: str | None,
    network: bool,
    as_json: bool,
) -> int:
    """Four agencies share real records in DIR (default zhixin-demo), and the gate refuses fakes.

    BTS, NOAA and FAA (fictional owners of real public records) publish five datasets; NTSB
    verifies them, publishes a sixth, made of three, and withdraws its first version for a second.
    Then every version is verified, one record is proved to an official, and tampered copies and
    the withdrawn version are refused. Run it twice: nothing new is published.

    The three lie in SQLite, Parquet and CSV files, or where a URL says: postgresql://, mariadb://
    or another database, which is filled; or http:// and https://, where their tables are served
    already, each as a list of records in JSON at URL/TABLE.
    """
    from zhixin_gateway.demo.story import published, show_all
    from zhixin_gateway.demo.world import BTS, FAA, NOAA, open_world

    began = time.monotonic()
    given = {BTS: bts_url, FAA: faa_url, NOAA: noaa_url}
    progress = context.open_progress()
    try:
        world = open_world(directory, {name: url for name, url in given.items() if url}, progress)
        with _members(world, progress, network=network) as publish:
            results = publish()
            versions = list(published(world, results))
            shown = show_all(world, versions, progress)
    finally:
        progress.close()
    fresh = sum(result.version is not None for result in results)
    if as_json:
        answer(_json(versions, shown, fresh))
    else:
        _table(versions)
    _close(directory, fresh, shown, time.monotonic() - began)
    return 0 if all(each.right for each in shown) else 1


@contextmanager
def _members(
    world: World, progress: Progress, *, network: bool
) -> Iterator[Callable[[], list[RunResult]]]:
    """What publishes everything: in this process, or through the members' own processes."""
    from zhixin_gateway.demo.network import Network, is_networked, put_on_network
    from zhixin_gateway.demo.outages import Outages
    from zhixin_gateway.demo.story import publish_all

    if not network and not is_networked(world):
        yield lambda: publish_all(world, progress)
        return
    if not is_networked(world):
        put_on_network(world)
    with Network(world) as members:
        for name, url in members.urls.items():
            progress.say(f"SERVES    {url}  {name}")
        publish = Outages(members).publish if network else None
        yield lambda: publish_all(world, progress, publish)


def _json(versions: list[Published], shown: list[Shown], fresh: int) -> dict[str, object]:
    return {
        "published": fresh,
        "versions": [{**vars(version), "path": str(version.path)} for version in versions],
        "shown": [
            {"what": each.what, "expected": each.expected, **each.verdict.to_json()}
            for each in shown
        ],
    }


def _table(versions: list[Published]) -> None:
    table(
        _COLUMNS,
        [
            [
                version.dataset,
                str(version.version),
                f"{version.records:,}",
                f"{version.quarantined:,}",
                _known(version.warned, ",d"),
                version.root[:12],
                str(version.index),
                str(version.cosigners),
                _known(version.seconds, ".1f"),
                version.standing,
            ]
            for version in versions
        ],
    )


def _known(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _close(directory: Path, fresh: int, shown: list[Shown], seconds: float) -> None:
    wrong = [each for each in shown if not each.right]
    for each in wrong:
        say(f"NOT AS DUE: {each.what}: {each.verdict.code}, due was {each.expected}")
    if not fresh:
        say("nothing new was published, because nothing changed")
    refused = sum(not each.verdict.ok for each in shown)
    say(f"{len(shown) - refused} verified, {refused} refused, in {seconds:.0f} s")
    ntsb, faa = directory / "ntsb.gov.example", directory / "faa.gov.example"
    planes, count = "faa.gov.example/planes", "SELECT count(*) AS n FROM planes"
    zhixin = "zhixin" if shutil.which("zhixin") else sys.argv[0]
    say("what to try next:")
    say(f"  {zhixin} --home {ntsb} lineage ntsb.gov.example/delays-by-weather")
    say(f"  {zhixin} --home {ntsb} cat {planes} --sql '{count}'")
    say(f"  {zhixin} --home {faa} quarantine show faa.gov.example/airports@1")
    say(f"  {zhixin} --home {ntsb} ledger fsck")
    say(f"  the second opinion's report lies in {faa / 'reports'}")
