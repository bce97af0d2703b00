"""A bundle as a zip that anybody can open, and that is the same bytes for the same evidence.

Names sorted, times fixed at the archive format's first day, nothing compressed: compressed bytes
differ between versions of zlib. What is read back is read by ``verify.py``'s own strict reader.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from zhixin_errors import ConfigError, VerificationError

from zhixin_gateway.evidence import verify

__all__ = ["format_bundle", "formats_text", "read_bundle", "verifier_text"]

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_MODE = stat.S_IFREG | 0o644


def format_bundle(files: Mapping[str, bytes]) -> bytes:
    """Write a bundle.

    Args:
        files: name → bytes, exactly those of docs/formats.md 10.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _FIRST_DAY)
            entry.create_system = 3  # else it tells on which system it was made
            entry.external_attr = _MODE << 16
            archive.writestr(entry, files[name])
    return out.getvalue()


def read_bundle(path: Path) -> dict[str, bytes]:
    """Read a zipped bundle; nothing of it is verified.

    Raises:
        ConfigError: there is no such file.
        VerificationError: it is no bundle; ``code`` as verify.py has it.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no file", hint="give a bundle that `zhixin evidence` made")
    try:
        return verify.read_archive(path)
    except verify.Refused as fault:
        raise VerificationError(f"{path}: {fault.message}", code=fault.code) from fault


def verifier_text() -> bytes:
    """The text of verify.py."""
    return Path(verify.__file__).read_bytes()


def formats_text() -> bytes:
    """The format specification: in the wheel beside this module, in a clone docs/formats.md.

    Raises:
        ConfigError: this installation came without it.
    """
    here = Path(__file__).resolve()
    for path in (here.with_name("FORMATS.md"), here.parents[3] / "docs" / "formats.md"):
        if path.is_file():
            return path.read_bytes()
    raise ConfigError("the format specification is not installed", hint="install the wheel anew")
