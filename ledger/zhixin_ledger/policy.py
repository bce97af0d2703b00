"""Trust policies: which logs and how many witnesses, for other tools (C2SP tlog-policy).

::

    log ledger.gov.example/2026+1f8b271f+AVpPIKu3ZwmzlDAvag0SI6kyuXgGzfDS0oL6OHfsd8/1
    witness bts.gov.example bts.gov.example/witness+3f4a21fd+BLeoYFusYFFDxbQkLrfR…
    group members 2 bts.gov.example faa.gov.example noaa.gov.example
    quorum members

The trust's ``policy.txt`` (docs/formats.md 2.6) is written here. The gate never reads it: it knows
only the present, and the gate must judge receipts of the past. The reader is for tests and other
people's policies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from zhixin_errors import FormatError

from zhixin_ledger.encoding import parse_uint
from zhixin_ledger.keys import VerifierKey

__all__ = ["Group", "Policy", "format_policy", "parse_policy"]

_GROUP = "members"
_NONE = "none"


def format_policy(
    log_vkeys: Iterable[str], witnesses: Sequence[tuple[str, str]], quorum: int
) -> str:
    """Write the present of a ledger as a policy.

    Args:
        log_vkeys: verifier keys of the logs in force.
        witnesses: (member's name, verifier key) of the active cosigning members.
        quorum: 1 ≤ quorum ≤ number of witnesses.

    Returns:
        The text of ``policy.txt``.

    Raises:
        FormatError: what can't be a policy: no log, a name or key twice, a quorum out of range.
    """
    names = " ".join(name for name, _ in witnesses)
    lines = [f"log {vkey}" for vkey in log_vkeys]
    lines += [f"witness {name} {vkey}" for name, vkey in witnesses]
    lines += [f"group {_GROUP} {quorum} {names}", f"quorum {_GROUP}"]
    text = "\n".join(lines) + "\n"
    parse_policy(text)
    return text


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these witnesses or groups."""

    threshold: int
    members: tuple[str, ...]


@dataclass(slots=True)
class Policy:
    """A policy that was read.

    Attributes:
        logs: keys, any of which may have signed.
        witnesses: name → key.
        groups: name → group; each group's members are defined before it.
        quorum: name of the witness or group that decides; None: no witness is needed.
    """

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None

    def satisfied(self, cosigners: Collection[VerifierKey]) -> bool:
        """Whether these verified cosigners are enough."""
        if self.quorum is None:
            return True
        holds = {name: key in cosigners for name, key in self.witnesses.items()}
        for name, group in self.groups.items():
            holds[name] = sum(holds[member] for member in group.members) >= group.threshold
        return holds[self.quorum]


class _Reader:
    """Takes a policy line by line; raises ``FormatError`` without the line's number."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.complete = False
        self._grouped: set[str] = set()
        self._keys: set[bytes] = set()
        self._lines: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }

    def line(self, words: list[str]) -> None:
        take = self._lines.get(words[0])
        if take is None:
            raise FormatError("want log, witness, group or quorum")
        take(words[1:])

    def _key(self, vkey: str) -> VerifierKey:
        key = VerifierKey.parse(vkey)
        if key.public_key in self._keys:
            raise FormatError("this public key is there already")
        self._keys.add(key.public_key)
        return key

    def _name(self, name: str) -> str:
        if name == _NONE or name in self.policy.witnesses or name in self.policy.groups:
            raise FormatError("this name is taken")
        return name

    def _known(self, name: str) -> str:
        if name not in self.policy.witnesses and name not in self.policy.groups:
            raise FormatError("a name is used before it is defined")
        return name

    def _log(self, words: list[str]) -> None:
        if len(words) not in (1, 2):
            raise FormatError("want: log VKEY [URL]")
        self.policy.logs.append(self._key(words[0]))

    def _witness(self, words: list[str]) -> None:
        if len(words) not in (2, 3):
            raise FormatError("want: witness NAME VKEY [URL]")
        self.policy.witnesses[self._name(words[0])] = self._key(words[1])

    def _group(self, words: list[str]) -> None:
        if len(words) < 3:
            raise FormatError("want: group NAME all|any|K MEMBER…")
        name, how, *members = words
        if len(set(members)) != len(members) or not self._grouped.isdisjoint(members):
            raise FormatError("a name can be a member of one group only, and once")
        for member in members:
            self._known(member)
        known = {"all": len(members), "any": 1}
        threshold = known[how] if how in known else parse_uint(how, "the threshold")
        if not 1 <= threshold <= len(members):
            raise FormatError(f"the threshold must lie between 1 and {len(members)}")
        self._grouped.update(members)
        self.policy.groups[self._name(name)] = Group(threshold, tuple(members))

    def _quorum(self, words: list[str]) -> None:
        if len(words) != 1 or self.complete:
            raise FormatError("want exactly one line: quorum NAME|none")
        self.complete = True
        self.policy.quorum = None if words[0] == _NONE else self._known(words[0])


def parse_policy(text: str, what: str = "policy") -> Policy:
    """Read a policy.

    Args:
        text: the file's text.
        what: how a message names it.

    Returns:
        The policy.

    Raises:
        FormatError: no log, not exactly one quorum, a name before its definition, a name or public
            key twice; with the line's number.
    """
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            reader.line(words)
        except FormatError as error:
            raise FormatError(f"{what}, line {number}: {error.message}") from error
    if not reader.policy.logs or not reader.complete:
        raise FormatError(f"{what} must have a log and a quorum: it decides nothing else")
    return reader.policy
