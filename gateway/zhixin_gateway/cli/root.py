"""The root of the commands: their names and one line each, without importing them."""

from __future__ import annotations

import importlib

import click

from zhixin_gateway.cli.options import Context

__all__ = ["LazyGroup", "zhixin"]

_CLI = "zhixin_gateway.cli"
COMMANDS = {
    "demo": ("demo", "The main job on real records, from nothing to REFUSED."),
    "init": ("init", "A member's home: keys, settings, a new ledger of one."),
    "source": ("source", "What a connector can see; a first contract from it."),
    "contract": ("contract", "Lint, publish and compare contracts; a schema for editors."),
    "run": ("run", "Extract, validate, write, notarise: one version."),
    "status": ("status", "Datasets, last runs, and what waits for proof."),
    "quarantine": ("quarantine", "Records that a run rejected, with every reason."),
    "pseudonym": ("pseudonym", "Keys of pseudonyms, and the pseudonym of a value."),
    "ls": ("ls", "Which datasets and versions can be had."),
    "get": ("get", "Fetch a version from its owner's store, then verify it."),
    "standing": ("standing", "Write the proof that a dataset's versions stand, or don't."),
    "verify": ("verify", "Check a version's directory against a pinned trust."),
    "cat": ("cat", "Verified records, nothing else."),
    "prove": ("prove", "A proof for one single record."),
    "verify-record": ("verify_record", "Check a record's proof, offline."),
    "evidence": ("evidence", "Proofs of a version that are checked without Zhixin."),
    "lineage": ("lineage", "What a version was made from."),
    "withdraw": ("withdraw", "Take a version back, for everyone to see."),
    "member": ("member", "Members, their keys and the quorum: propose, sign, bring in."),
    "erase": ("erase", "Withdraw versions for privacy, then destroy them here."),
    "ledger": ("ledger", "Read and check the shared ledger."),
    "witness": ("witness", "Cosign as a member, over HTTP or by file."),
    "backup": ("backup", "A whole home in one file, while it works."),
    "restore": ("restore", "A backup into a new folder, every byte checked."),
    "trust": ("trust", "Export, show and import what a consumer pins once."),
    "doctor": ("doctor", "Look for what is missing or wrong in a home."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order of the table, that of a working day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module and take the command that bears its name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{_CLI}.{COMMANDS[cmd_name][0]}")
        command = module.command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--home", metavar="DIR", help="The member's home; ZHIXIN_HOME by default.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "rich", "log", "null"]),
    default="auto",
    show_default=True,
    help="How a long job tells of itself, on standard error.",
)
@click.version_option(package_name="zhixin-gateway", prog_name="zhixin")
@click.pass_context
def zhixin(context: click.Context, home: str | None, progress: str) -> None:
    """Verified datasets between agencies, or a refusal with its reason.

    Exit codes: 0 done; 1 refused; 2 usage or set-up; 3 not reached, or proof is pending;
    4 internal error; 130 interrupted.
    """
    context.obj = Context(home=home, progress=progress)
