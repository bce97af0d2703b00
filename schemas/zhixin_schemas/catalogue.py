"""Where the contracts of the catalogue lie: in the wheel beside this module, in a clone above."""

from __future__ import annotations

from pathlib import Path

from zhixin_errors import ConfigError

__all__ = ["catalogue_contract", "catalogue_folder"]


def catalogue_folder() -> Path:
    """Give the folder of the catalogue: ``<member>/<dataset>.odcs.yaml`` below it.

    Raises:
        ConfigError: this installation came without it.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "catalogue", here.parent / "catalogue"):
        if folder.is_dir():
            return folder
    raise ConfigError("the catalogue of contracts is not installed", hint="install the wheel anew")


def catalogue_contract(dataset: str) -> Path:
    """Give the file of a dataset's contract.

    Args:
        dataset: ``member/name``.

    Raises:
        ConfigError: the catalogue has none.
    """
    path = catalogue_folder() / f"{dataset}.odcs.yaml"
    if not path.is_file():
        raise ConfigError(f"the catalogue has no contract of {dataset}")
    return path
