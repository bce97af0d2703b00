"""A server that shows one ledger while it is audited, and another when it is read again."""

import shutil
from collections import Counter

import pytest
from zhixin_errors import VerificationError
from zhixin_gateway.founding import found
from zhixin_gateway.home import create_home
from zhixin_gateway.member_audit import audit_member
from zhixin_gateway.trusting import moved_along
from zhixin_ledger.audit import audit_source
from zhixin_ledger.client import contract_statement
from zhixin_ledger.dsse import sign_envelope
from zhixin_ledger.tiles import (
    CHECKPOINT,
    DirectorySource,
    entries_path,
    pack_entries,
    unpack_entries,
)

NAMES = tuple(f"{letter}.gov.example" for letter in "abcd")


class TwoFaced:
    """Serves a folder as often as an audit reads each file, and then another."""

    def __init__(self, first, second):
        self.first, self.second = DirectorySource(first), DirectorySource(second)
        self.reads = Counter()
        self.audited = None
        audit_source(self)  # to know how often it reads what
        self.audited, self.reads = self.reads, Counter()

    def read(self, path):
        self.reads[path] += 1
        again = self.audited is not None and self.reads[path] > self.audited[path]
        return (self.second if again else self.first).read(path)


def state_contract(home, name):
    with home.ledger_client() as client:
        client.sync()
        payload = contract_statement(client.origin, f"{home.member}/{name}", "1.0.0", "c0" * 32)
        client.receipt(client.submit(sign_envelope(payload, [home.signer()])))


@pytest.fixture
def forged(tmp_path):
    """Another ledger of the same name and members' names, whose keys are all a stranger's."""
    homes = [
        create_home(tmp_path / "forged" / name, name, operator=name == NAMES[0]) for name in NAMES
    ]
    found(homes[0], homes, "ledger.gov.example/council")
    return homes[0].path / "log"


def test_a_trust_does_not_move_to_a_ledger_that_is_exchanged_after_its_audit(council, forged):
    trust = council.home("a").pinned_trust()
    source = TwoFaced(forged, council.path("a") / "log")
    with pytest.raises(VerificationError) as refused:
        moved_along(trust, source, "the server")
    assert refused.value.code == "forked"


def test_what_is_listed_of_a_member_is_what_was_audited(council, tmp_path):
    home = council.home("a")
    trust = home.pinned_trust()
    true = council.path("a") / "log"
    for name in ("one", "two"):
        state_contract(home, name)
    shutil.copytree(true, tmp_path / "hiding")
    path = tmp_path / "hiding" / entries_path(0, 6)
    entries = unpack_entries(path.read_bytes(), 6)
    path.write_bytes(pack_entries([*entries[:4], entries[2], entries[5]]))  # `two` is hidden
    with pytest.raises(VerificationError) as refused:
        audit_member("a.gov.example", trust, TwoFaced(true, tmp_path / "hiding"), "the server")
    assert refused.value.code == "root"


def test_a_checkpoint_is_read_once(council):
    """A log at work publishes meanwhile: state and note are of one size all the same."""
    home = council.home("a")
    trust = home.pinned_trust()
    true = council.path("a") / "log"
    old = (true / CHECKPOINT).read_bytes()
    state_contract(home, "one")

    class Growing(DirectorySource):
        first = True

        def read(self, path):
            if path == CHECKPOINT and self.first:
                self.first = False
                return old
            return super().read(path)

    audit, found_ = audit_member("a.gov.example", trust, Growing(true), "the server")
    assert audit.size == found_.state.size == 2
