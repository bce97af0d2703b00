"""Founding a ledger: genesis and its seal are the first block of a log that was not there."""

from __future__ import annotations

from pathlib import Path

from zhixin_errors import ConfigError

from zhixin_ledger import admission, log_database
from zhixin_ledger.database import Database
from zhixin_ledger.embedded import DATABASE, Engine
from zhixin_ledger.files import make_lasting_folder
from zhixin_ledger.signers import Signer
from zhixin_ledger.state import State
from zhixin_ledger.steps import Clock
from zhixin_ledger.store import SqliteStore

__all__ = ["found_ledger"]


def found_ledger(
    directory: Path, origin: str, log_signer: Signer, genesis: bytes, clock: Clock
) -> Engine:
    """Found a ledger: block 0, genesis and its seal, durable but not yet published.

    Args:
        directory: the log's folder; it is made.
        origin: the ledger's name, as genesis says.
        log_signer: the log key of a founding member.
        genesis: the genesis statement's envelope, signed by every founding member.
        clock: gives aware times.

    Returns:
        The engine.

    Raises:
        ConfigError: there is a ledger already, or genesis names another origin or log key.
        LedgerRefused: the rules refuse genesis.
    """
    state = State()
    admission.take_in(state, admission.admit(state, genesis))
    if state.origin != origin:
        raise ConfigError(f"genesis founds {state.origin}, not {origin}")
    if log_signer.public_key not in {key.public_key for key in state.log_keys()}:
        raise ConfigError("genesis does not name this log's key")
    make_lasting_folder(directory)
    database = Database(directory / DATABASE)
    try:
        with database.writing() as connection:
            if log_database.tables(connection):
                raise ConfigError(f"there is a ledger in {directory} already")
            database.run(log_database.SCHEMA)
            kept = State(SqliteStore(connection))
            admitted = admission.admit(kept, genesis)
            admission.take_in(kept, admitted)
            log_database.close_block(connection, kept, [admitted.entry], clock())
    finally:
        database.close()
    return Engine(directory, log_signer, clock=clock)
