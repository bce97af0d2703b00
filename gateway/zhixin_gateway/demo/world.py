"""The demo's four members: their homes, their ledger, their silos.

Everything lies in one folder, a home a member, and is made as one piece: the homes and their ledger
are founded in a folder beside it, which then gets its name by one rename.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zhixin_errors import ConfigError
from zhixin_schemas.catalogue import catalogue_folder

from zhixin_gateway.demo.silos import SILOS, seed
from zhixin_gateway.founding import found
from zhixin_gateway.home import SETTINGS_FILE, Home, create_home
from zhixin_gateway.progress import Progress

__all__ = ["BTS", "FAA", "MEMBERS", "NOAA", "NTSB", "ORIGIN", "World", "open_world"]

BTS = "bts.gov.example"
FAA = "faa.gov.example"
NOAA = "noaa.gov.example"
NTSB = "ntsb.gov.example"
MEMBERS = (BTS, FAA, NOAA, NTSB)  # BTS operates the ledger
ORIGIN = "ledger.gov.example/2026"

_TITLES = {
    BTS: {"en": "Bureau of Transportation Statistics", "zh": "运输统计局"},
    FAA: {"en": "Federal Aviation Administration", "zh": "联邦航空管理局"},
    NOAA: {"en": "Oceanic and Atmospheric Administration", "zh": "海洋与大气管理局"},
    NTSB: {"en": "Transportation Safety Board", "zh": "运输安全委员会"},
}
# Whose datasets each member needs, and so whose store it knows.
_READS = {BTS: (FAA,), FAA: (), NOAA: (), NTSB: (BTS, FAA, NOAA)}


@dataclass(frozen=True)
class World:
    """The folder of the demo.

    Args:
        folder: holds a home a member, the silos, and what the demo shows.
        given: addresses of silos that were put elsewhere, by the contract's name for the source.
    """

    folder: Path
    given: Mapping[str, str] = field(default_factory=dict)

    def home(self, member: str) -> Home:
        """Open a member's home."""
        return Home.open(self.folder / member, sources=self.given)

    def contract(self, dataset: str) -> Path:
        """The contract's file in its owner's home."""
        member, _, name = dataset.partition("/")
        return self.folder / member / "contracts" / f"{name}.odcs.yaml"


def open_world(folder: Path, urls: Mapping[str, str], progress: Progress) -> World:
    """Found the world if it is not there, and fill its silos if they are empty.

    Args:
        folder: where it is, or will be.
        urls: a database's address by member, for silos that are to lie elsewhere.
        progress: told what is done.

    Returns:
        The world.

    Raises:
        ConfigError: the folder holds something else, or the records are not installed.
    """
    folder = folder.absolute()
    if not (folder / BTS / SETTINGS_FILE).exists():
        progress.step("found the ledger of four members", ORIGIN)
        _found(folder)
        progress.done("3 of 4 members must cosign")
    given = {}
    for silo in SILOS:
        kind = "database" if silo.member in urls else silo.kind
        progress.step(f"fill the {kind} silo", silo.member)
        address = seed(silo, folder / "silos", urls.get(silo.member))
        if silo.member in urls:
            given[silo.source] = address
        progress.done(", ".join(silo.tables))
    return World(folder, given)


def _found(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} holds something else than the demo",
            hint="give the demo a folder of its own: `zhixin demo DIR`",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        homes = [
            create_home(half / member, member, _TITLES[member], operator=member == BTS)
            for member in MEMBERS
        ]
        for home in found(homes[0], homes, ORIGIN):
            _settle(home)
        if folder.exists():
            folder.rmdir()
        half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _settle(home: Home) -> None:
    """Say where the member's source and the stores that it reads lie; lay its contracts down."""
    sources = {
        silo.source: (
            f"sqlite:///../silos/{silo.member}.db"
            if silo.kind == "sqlite"
            else f"../silos/{silo.member}"
        )
        for silo in SILOS
        if silo.member == home.member
    }
    stores = {member: f"../{member}/store" for member in _READS[home.member]}
    home.save(replace(home.filed_settings(), sources=sources, stores=stores))
    contracts = home.path / "contracts"
    contracts.mkdir(exist_ok=True)
    for contract in sorted((catalogue_folder() / home.member).glob("*.odcs.yaml")):
        shutil.copyfile(contract, contracts / contract.name)
