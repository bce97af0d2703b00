"""Making proposals in a member's home: join, leave, rotate, another quorum.

New keys are made first, beside the old ones (`zhixin_gateway.keyring`); then the statement, from
the own replayed copy of the ledger, signed by the keys that it names and by the member's own key
in force. What can't enter as things stand is refused at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError
from zhixin_ledger import encoding, proposals, statements
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, VerifierKey
from zhixin_ledger.proposals import Proposal
from zhixin_ledger.trust_history import minimum_quorum

from zhixin_gateway import keyring
from zhixin_gateway.home import COSIGNER_KEY, LOG_KEY, STATEMENT_KEY, Home

if TYPE_CHECKING:
    from zhixin_ledger.facts import MemberFact
    from zhixin_ledger.signers import Signer
    from zhixin_ledger.state import State

__all__ = [
    "ALGORITHMS",
    "Rotation",
    "own_signer",
    "propose_join",
    "propose_leave",
    "propose_quorum",
    "propose_rotation",
]

ALGORITHMS = {"ed25519": ED25519, "ml-dsa-44": MLDSA44}
_COSIGNING = {ED25519: COSIGNATURE_V1, MLDSA44: MLDSA44}


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a member wants to be another.

    Attributes:
        statement: a new statement key.
        cosigner: the algorithm of a new cosigner key; empty: none.
        log: a new log key.
        end_cosigner: cosign no more.
        end_log: order entries no more.
        titles: new titles by language tag; others stay.
    """

    statement: bool = False
    cosigner: str = ""
    log: bool = False
    end_cosigner: bool = False
    end_log: bool = False
    titles: tuple[tuple[str, str], ...] = ()


def propose_join(
    home: Home, state: State, quorum: int | None = None, *, cosigns: bool = True
) -> Proposal:
    """Ask to join the ledger with this home's keys.

    Args:
        home: the new member's.
        state: the ledger's.
        quorum: from then on; by default the margin above the least stays as it is.
        cosigns: whether the member cosigns and votes.

    Raises:
        LedgerRefused: it can't enter as things stand.
    """
    titles = home.settings.titles
    cosigner = home.signer(COSIGNER_KEY) if cosigns else None
    has_log = (home.keys_dir / LOG_KEY).exists()
    member = statements.member_object(
        home.member,
        (titles.get("en", home.member), titles.get("zh", home.member)),
        statement_key=home.signer().public_key,
        cosigner=None if cosigner is None else _cosigner_key(home.member, cosigner),
        log=_log_key(state, home.signer(LOG_KEY)) if has_log else None,
    )
    return _member_proposal(home, state, "join", member, quorum, signers=[home.signer()])


def propose_leave(home: Home, state: State, name: str, quorum: int | None = None) -> Proposal:
    """Propose that a member leave.

    Args:
        home: the proposer's.
        state: the ledger's.
        name: the member that shall leave.
        quorum: from then on.

    Raises:
        LedgerRefused: it can't enter as things stand.
    """
    return _member_proposal(home, state, "leave", _as_it_is(_active(state, name)), quorum)


def propose_rotation(
    home: Home, state: State, rotation: Rotation, quorum: int | None = None
) -> Proposal:
    """Propose other keys or titles for this home's member; new keys are made first.

    Args:
        home: the member's.
        state: the ledger's.
        rotation: what shall be another.
        quorum: from then on.

    Raises:
        ConfigError: nothing shall be another, or both a key's end and a new one.
        LedgerRefused: it can't enter as things stand.
    """
    if rotation == Rotation():
        raise ConfigError(
            "nothing is to be rotated",
            hint="name it: --statement-key, --cosigner-key ALGORITHM, --log-key, --title TEXT",
        )
    if (rotation.cosigner and rotation.end_cosigner) or (rotation.log and rotation.end_log):
        raise ConfigError("a key is either rotated or ended, not both")
    keyring.settle_keys(home)
    fact = _active(state, home.member)
    member = _as_it_is(fact)
    member["titles"] = {**fact.titles.to_json(), **dict(rotation.titles)}
    signers: list[Signer] = []
    if rotation.statement:
        signers.append(keyring.make_next_key(home, "statement", ED25519))
        member["statement_key"] = encoding.b64(signers[0].public_key)
    if rotation.cosigner:
        signer = keyring.make_next_key(home, "cosigner", ALGORITHMS[rotation.cosigner])
        member["cosigner"] = _cosigner_key(home.member, signer).text
    if rotation.log:
        member["log"] = _log_key(state, keyring.make_next_key(home, "log", ED25519)).text
    member.update({name: None for name, ends in (
        ("cosigner", rotation.end_cosigner), ("log", rotation.end_log)) if ends})  # fmt: skip
    return _member_proposal(home, state, "rotate", member, quorum, signers=signers)


def propose_quorum(home: Home, state: State, quorum: int) -> Proposal:
    """Propose another quorum.

    Args:
        home: the proposer's.
        state: the ledger's.
        quorum: from then on.

    Raises:
        LedgerRefused: it can't enter as things stand.
    """
    payload = statements.rules_statement(_origin(state), quorum, _previous(state))
    return _signed(home, state, payload)


def _member_proposal(
    home: Home,
    state: State,
    action: str,
    member: dict[str, Any],
    quorum: int | None,
    *,
    signers: Sequence[Signer] = (),
) -> Proposal:
    if quorum is None:
        before = state.members.get(str(member["name"]))
        voted = before is not None and before.votes
        votes = action != "leave" and member["cosigner"] is not None
        quorum = _kept_margin(state, int(votes) - int(voted))
    payload = statements.member_statement(_origin(state), action, member, quorum, _previous(state))
    return _signed(home, state, payload, signers)


def _signed(home: Home, state: State, payload: bytes, signers: Sequence[Signer] = ()) -> Proposal:
    """Sign with the keys that the proposal names, and with this member's key in force."""
    from zhixin_ledger.dsse import sign_envelope

    own = own_signer(home, state)
    if own is not None:
        signers = [*signers, own]
    unique = {signer.public_key: signer for signer in signers}
    if not unique:
        raise ConfigError(
            f"{home.member} has no key in force with which it could propose this",
            code="key-pending",
            hint="another member proposes it",
        )
    proposal = proposals.parse_proposal(sign_envelope(payload, unique.values()))
    return proposals.weigh(state, proposal).proposal


def own_signer(home: Home, state: State) -> Signer | None:
    """This member's statement key if it is here and in force; a lost one is no fault here."""
    from zhixin_ledger.dsse import keyid

    try:
        signer = home.signer(STATEMENT_KEY)
    except ConfigError:
        if (home.keys_dir / STATEMENT_KEY).exists():
            raise
        return None
    return signer if state.signer(keyid(signer.public_key)) is not None else None


def _kept_margin(state: State, change: int) -> int:
    """The quorum that stands as far above the least as it does now."""
    count = sum(member.votes for member in state.members.values())
    margin = state.quorum - minimum_quorum(count)
    after = max(1, count + change)
    return min(after, minimum_quorum(after) + margin)


def _active(state: State, name: str) -> MemberFact:
    fact = state.members.get(name)
    if fact is None or not fact.active:
        raise ConfigError(
            f"{name} is no active member of {state.origin}", code="member-inactive",
            hint="`zhixin member list` shows who is; a new member joins by `zhixin init --join`",
        )  # fmt: skip
    return fact


def _as_it_is(fact: MemberFact) -> dict[str, Any]:
    return {
        "name": fact.name,
        "titles": fact.titles.to_json(),
        "statement_key": fact.statement_key,
        "cosigner": fact.cosigner,
        "log": fact.log,
        "validator": fact.validator,
    }


def _origin(state: State) -> str:
    if state.origin is None:
        raise ConfigError("this home has no copy of a ledger yet")
    return state.origin


def _previous(state: State) -> int:
    return 0 if state.ledger is None else state.ledger.entry


def _cosigner_key(member: str, signer: Signer) -> VerifierKey:
    return VerifierKey.make(f"{member}/witness", _COSIGNING[signer.kind], signer.public_key)


def _log_key(state: State, signer: Signer) -> VerifierKey:
    return VerifierKey.make(_origin(state), ED25519, signer.public_key)
