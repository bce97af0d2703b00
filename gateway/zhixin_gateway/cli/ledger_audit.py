"""``zhixin ledger audit``: every version that a member ever stated, with proofs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.gate_options import trust_option
from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    many,
    say,
    table,
)

if TYPE_CHECKING:
    from zhixin_gateway.member_audit import MemberAudit, Version

__all__ = ["command"]


@click.command(
    "audit",
    short_help="All that a member ever stated, with proofs.",
    epilog=examples(
        "zhixin ledger audit bts.gov.example",
        "zhixin ledger audit bts.gov.example --ledger /media/disk/tiles --trust trust --proofs out",
    ),
)
@click.argument("member")
@click.option(
    "--ledger",
    "source",
    default="",
    metavar="DIR|URL",
    help="The copy to audit: a folder of tiles or a URL; the home's own copy by default.",
)
@trust_option
@click.option(
    "--proofs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write each statement with its receipt to this new folder, for others to check.",
)
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    member: str,
    source: str,
    trust_dir: Path | None,
    proofs: Path | None,
    *,
    as_json: bool,
) -> int:
    """List every version that MEMBER ever stated, having verified the copy against the trust.

    The whole copy is checked first: every tile, entry, rule, seal and signature. A version that was
    left out would break the numbers, or the entry that the next one names.
    """
    from zhixin_ledger.trust import load_trust

    from zhixin_gateway.member_audit import audit_member, write_proofs
    from zhixin_gateway.trusting import open_source

    home = None if source else context.open_home()
    trust = load_trust(trust_dir) if trust_dir else context.open_home().pinned_trust()
    audit, found = audit_member(member, trust, *open_source(source, home))
    written = None if proofs is None else write_proofs(audit, found, trust, proofs)
    if as_json:
        answer({**audit.to_json(), "proofs": None if proofs is None else str(proofs)})
    else:
        _show(audit)
    _claim(audit)
    if written is not None:
        say(f"{proofs}: {written} statements with their receipts, and a standing of each dataset")
    return 1 if audit.gaps else 0


def _show(audit: MemberAudit) -> None:
    table(
        ["version", "entry", "sealed", "contract", "made from", "withdrawn"],
        [
            [
                f"{each.dataset}@{each.version}",
                str(each.index),
                each.time,
                each.contract,
                ", ".join(each.inputs),
                _withdrawn(each),
            ]
            for each in audit.versions
        ],
    )
    for act in audit.acts:
        say(f"entry {act.index}, {act.time}: {act.what} {act.subject}")


def _withdrawn(version: Version) -> str:
    told = version.withdrawn
    if told is None:
        return ""
    by = f", for {told['replaced_by']}" if told["replaced_by"] else ""
    return f"{told['reason']} by {told['by']}, entry {told['index']}, {told['time']}{by}"


def _claim(audit: MemberAudit) -> None:
    for gap in audit.gaps:
        say(f"GAP {gap.code} at entry {gap.index}: {gap.message}")
    datasets = len({each.dataset for each in audit.versions})
    all_of_them = f"{many(len(audit.versions), 'version')} of {many(datasets, 'dataset')}"
    if not audit.gaps:
        say(
            (
                f"these are all that {audit.member} stated, {all_of_them},"
                if datasets
                else f"no version of any dataset was ever stated by {audit.member}"
            )
            + f" in {audit.origin} up to {audit.size:,} entries, sealed {audit.time}, "
            f"root {audit.root}"
        )
        say(f"cosigned by {', '.join(audit.cosigned)}")
