"""A log with two heads against honest and lying witnesses, for every small (n, k, f).

Quorums k of n members, of whom f lie: where 2k − n ≥ f + 1 no split of the honest ones gives both
heads a quorum, and where it does not hold some split does, so that the rule is as weak as can be.
Each honest witness is a real one, asked for both heads in either order, once; what it answers is
reused in every combination. A lying one cosigns whatever it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from zhixin_errors import LedgerRefused
from zhixin_ledger import checkpoint, cosignature, forks
from zhixin_ledger.equivocation import Report
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note, SignatureLine, parse_signature_lines
from zhixin_ledger.signers import load_signer
from zhixin_ledger.tiles import Tiles
from zhixin_ledger.trust import Trust, trust_of
from zhixin_ledger.trust_history import minimum_quorum
from zhixin_ledger.witness import Witness

HEADS = ("a", "b")


@dataclass
class Heard:
    """What a log with two heads got from each of n members."""

    notes: dict[str, Note]
    honest: dict[tuple[str, str], SignatureLine]  # (member, the head it was asked for first)
    lying: dict[tuple[str, str], SignatureLine]
    reports: list[Report]
    trust: Trust
    names: tuple[str, ...]

    def quorum(self, head: str, members: list[SignatureLine], k: int) -> bool:
        note = self.notes[head].with_signatures(members)
        keys = [cosigner.key for cosigner in self.trust.cosigners(self.trust.size)]
        return len(cosignature.counted(note, keys)) >= k


def heard(world, logs: dict, folder: Path) -> Heard:
    notes = {head: log.note() for head, log in logs.items()}
    honest, lying, reports = {}, {}, []
    trust = trust_of(logs["a"].state)
    for name in world.names:
        signer = load_signer(world.home(name) / "keys/cosigner.pem")
        for first, second in (HEADS, HEADS[::-1]):
            mirror = Mirror(folder / f"{name}-{first}")
            witness = Witness(name, mirror, [signer], logs[first].source, world.clock)
            answer = witness.add_checkpoint(0, [], notes[first].format())
            (honest[name, first],) = parse_signature_lines(answer)
            witness._source = logs[second].source
            size = checkpoint.parse(notes[first].text).size
            for old_size in (0, size):
                with pytest.raises(LedgerRefused) as refused:
                    witness.add_checkpoint(old_size, [], notes[second].format())
            assert refused.value.code == "forked"
            (kept,) = forks.kept(mirror.directory)
            reports.append(Report.parse(kept.read_bytes()))
            mirror.close()
            lying[name, first] = cosignature.cosign(
                notes[first].text, f"{name}/witness", signer, 1_770_000_000
            )
    return Heard(notes, honest, lying, reports, trust, world.names)


@pytest.mark.parametrize("n", range(1, 8))
def test_never_two_quorums_where_the_rule_holds(make_world, make_log, tmp_path, n):
    world = make_world(n, minimum_quorum(n)).found()
    logs = {head: make_log(world, head) for head in HEADS}
    for head, log in logs.items():
        log.follow([world.contract(f"{world.names[0]}/{head}")]).sealed()
    told = heard(world, logs, tmp_path / "copies")
    for f in range(n + 1):
        liars, others = world.names[:f], world.names[f:]
        for k in range(1, n + 1):
            both = [
                split for split in range(len(others) + 1) if doubled(told, liars, others, split, k)
            ]
            if 2 * k - n >= f + 1:
                assert both == [], (n, k, f)
            else:
                assert both, (n, k, f)
    for report in told.reports:
        assert report.verify(told.trust).log


def doubled(told: Heard, liars, others, split: int, k: int) -> bool:
    """Whether both heads get k cosignatures where so many honest members see the first first."""
    got = {head: [told.lying[name, head] for name in liars] for head in HEADS}
    for at, name in enumerate(others):
        head = HEADS[at >= split]
        got[head].append(told.honest[name, head])
    return all(told.quorum(head, got[head], k) for head in HEADS)


def test_what_both_heads_got_convicts_every_liar(make_world, make_log, tmp_path):
    world = make_world(7, 5).found()
    logs = {head: make_log(world, head) for head in HEADS}
    for head, log in logs.items():
        log.follow([world.contract(f"{world.names[0]}/{head}")]).sealed()
    told = heard(world, logs, tmp_path / "copies")
    liars = world.names[:3]
    got = {
        head: told.notes[head].with_signatures(
            [
                *(told.lying[name, head] for name in liars),
                *(told.honest[name, head] for name in world.names[3 + 2 * at : 5 + 2 * at]),
            ]
        )
        for at, head in enumerate(HEADS)
    }
    root = Tiles(logs["b"].source, 4).root()
    finding = Report.make(got["a"], got["b"], root, []).verify(told.trust)
    assert finding.log
    assert finding.members == tuple(sorted(liars))  # and no honest member
    assert finding.quorums  # three liars are one more than seven members bear
