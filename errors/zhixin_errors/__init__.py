"""The one tree of errors of Zhixin.

::

    ZhixinError                      exit  when
    ├── ConfigError                  2     a setting, key, file or option is missing or wrong
    │   └── TrustError               2     the pinned trust does not parse or contradicts itself
    ├── ContractError                1     a contract is not valid, or what it asks can't be done
    ├── ValidationRefused            1     a critical rule or the second opinion stopped a version
    ├── SourceError
    │   ├── TransientSourceError     3     worth a retry: a connection lost, a lock, a time-out
    │   └── PermanentSourceError     2     not worth one: no such table or column, no permission
    ├── FormatError                  1     bytes are not in the form that docs/formats.md fixes
    ├── VerificationError            1     the gate refused; ``code`` is the gate's code
    └── LedgerError
        ├── LedgerRefused            1     the rules refuse the entry; ``code`` names the rule
        └── LedgerUnavailable        3     the ledger or its quorum could not be reached

Every error carries a stable ``code``, one sentence that a person can act on, and never a record's
contents or a secret. It lives in a package of its own because the four others must raise from one
tree and may not import each other (docs/decisions/0001).
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ConfigError",
    "ContractError",
    "FormatError",
    "LedgerError",
    "LedgerRefused",
    "LedgerUnavailable",
    "PermanentSourceError",
    "SourceError",
    "TransientSourceError",
    "TrustError",
    "ValidationRefused",
    "VerificationError",
    "ZhixinError",
]


class ZhixinError(Exception):
    """Anything that a user, a peer or the world can cause.

    Args:
        message: one sentence; names the file, field, row and what was expected.
        code: stable name for programs; defaults to the class's own.
        hint: the way out, where there is one ("run `zhixin init` first").
        details: further fields for ``--json``; JSON values only, no record contents.
    """

    default_code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 4

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        """Keep the parts; ``str()`` gives the sentence alone."""
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.details = details or {}

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling: Airflow and process pools send errors between processes."""
        return (_rebuild, (type(self), self.message, self.code, self.hint, self.details))


def _rebuild(
    kind: type[ZhixinError],
    message: str,
    code: str,
    hint: str | None,
    details: dict[str, object],
) -> ZhixinError:
    return kind(message, code=code, hint=hint, details=details)


class ConfigError(ZhixinError):
    """A setting, key, file or option is missing or wrong."""

    default_code = "config"
    exit_code = 2


class TrustError(ConfigError):
    """The pinned trust does not parse or contradicts itself: never a verdict on the data."""

    default_code = "trust"


class ContractError(ZhixinError):
    """A contract is not valid; ``details["problems"]`` lists {line, column, path, message}."""

    default_code = "contract-invalid"
    exit_code = 1


class ValidationRefused(ZhixinError):
    """A version was not published because of what its records are."""

    default_code = "validation"
    exit_code = 1


class SourceError(ZhixinError):
    """A source could not be read."""

    default_code = "source"
    exit_code = 2


class TransientSourceError(SourceError):
    """A source could not be read now; trying again may help."""

    default_code = "source-unavailable"
    exit_code = 3


class PermanentSourceError(SourceError):
    """A source can't be read as asked; trying again won't help."""

    default_code = "source-refused"


class FormatError(ZhixinError):
    """Bytes are not in the form that the specification fixes."""

    default_code = "malformed"
    exit_code = 1


class VerificationError(ZhixinError):
    """The gate refused; ``code`` is one of the gate's codes (docs/formats.md)."""

    default_code = "refused"
    exit_code = 1


class LedgerError(ZhixinError):
    """The ledger refused or could not serve."""

    default_code = "ledger"
    exit_code = 3


class LedgerRefused(LedgerError):
    """The ledger's rules refuse the entry; ``code`` names the rule."""

    default_code = "refused"
    exit_code = 1


class LedgerUnavailable(LedgerError):
    """The ledger or its quorum could not be reached; nothing is lost, try later."""

    default_code = "ledger-unavailable"
    exit_code = 3
