"""The kinds of statements that rules "1" know: one kind, one file, one line here.

A later kind (grants, applications, corrections, use) joins with a new version of the rules: who
does not know it stops there.
"""

from __future__ import annotations

from typing import Any

from zhixin_ledger.kinds.base import Kind
from zhixin_ledger.kinds.contract import CONTRACT
from zhixin_ledger.kinds.dataset import DATASET
from zhixin_ledger.kinds.genesis import GENESIS
from zhixin_ledger.kinds.member import MEMBER
from zhixin_ledger.kinds.rules import RULES
from zhixin_ledger.kinds.withdrawal import WITHDRAWAL

__all__ = ["KINDS"]

KINDS: dict[str, Kind[Any]] = {
    kind.predicate_type: kind for kind in (GENESIS, CONTRACT, DATASET, WITHDRAWAL, MEMBER, RULES)
}
