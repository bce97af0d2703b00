"""Runs publications that die or meet faults, and looks at what they leave behind.

One process with everything loaded and the shim preloaded; it forks for each request, so that a
fault costs milliseconds. Requests are lines of JSON on standard input, answers on standard output:

    {"do": "run", "base", "root", "point", "kind", "trace"}  → {"said": […], "status", "points"}
    {"do": "check", "root", "said"}                          → {"faults": […]}

`run` copies the world `base` to `root` and publishes its rounds there. `said` is all that anyone
learned before the end: indexes, receipts, signatures. `check` opens the world again by the normal
code, publishes on, and holds everything that was said against the ledger.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import world
from zhixin_errors import ZhixinError
from zhixin_ledger import checkpoint, gathering, seal
from zhixin_ledger.audit import audit
from zhixin_ledger.client import LedgerClient
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.signers import Signer
from zhixin_ledger.tlogproof import parse_receipt
from zhixin_ledger.transport import FileWitness

TRIES = 3
TIMEOUT_S = 60
HOMES = (*world.NAMES, world.READER)

Said = list[list[Any]]
Tell = Callable[..., None]


class Inline:
    """A thread that runs in the caller, so that the points of a run never change their order."""

    def __init__(self, target: Callable[..., None], args: tuple[object, ...], **_: object) -> None:
        self.start = lambda: target(*args)


class Recording:
    """A signer that says what it signs before anyone has the signature."""

    kind = 1

    def __init__(self, inner: Signer, tell: Tell) -> None:
        self._inner = inner
        self._tell = tell
        self.kind = inner.kind

    @property
    def public_key(self) -> bytes:
        return self._inner.public_key

    def sign(self, message: bytes) -> bytes:
        self._tell("signed", base64.b64encode(message).decode())
        return self._inner.sign(message)


def publish(root: Path, tell: Tell) -> None:
    """Publish every round; what fails is tried again by the same objects, then left."""

    def keys(path: Path) -> Signer:
        return Recording(world.load_key(path), tell)

    owner = attempt(lambda: world.open_client(root, world.OWNER, keys), tell)
    reader = attempt(lambda: world.open_client(root, world.READER, keys), tell)
    if owner is None or reader is None:
        return
    for envelopes in world.rounds():
        for data in envelopes:
            index = attempt(lambda data=data: owner.submit(data), tell)
            if index is not None:
                tell("entry", index, hashlib.sha256(data).hexdigest())
        receipt = attempt(lambda at=index: owner.receipt(at), tell) if index is not None else None
        if receipt is not None:
            tell("receipt", base64.b64encode(receipt).decode())
        attempt(reader.sync, tell)
    owner.close()
    reader.close()


def tell_given(tell: Tell) -> None:
    """Have each cosignature told when it leaves its witness: by then it must be remembered."""
    add = FileWitness.add_checkpoint

    def told(self: FileWitness, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        lines = add(self, old_size, proof, note)
        tell("given", self.name, checkpoint.parse(Note.parse(note).text).size)
        return lines

    FileWitness.add_checkpoint = told  # type: ignore[method-assign]


def attempt(act: Callable[[], Any], tell: Tell) -> Any:
    for _ in range(TRIES):
        try:
            return act()
        except ZhixinError as fault:
            tell("refused", fault.code)
    return None


# What is left behind.


def check(root: Path, said: Said) -> list[list[str]]:
    """Open again, publish on, and hold what was said; gives the faults as [kind, sentence]."""
    faults: list[list[str]] = []
    faults += [["bug", str(item[1])] for item in said if item[0] == "bug"]
    faults += unclean(root, ["log", *HOMES], "before publishing on")
    faults += forgotten(root, said)
    heard: Said = []
    publish(root, lambda *item: heard.append(list(item)))
    faults += [["stuck", f"{item[1]} on reopening"] for item in heard if item[0] == "refused"]
    clients = {name: world.open_client(root, name) for name in HOMES}
    for name, client in clients.items():
        try:
            client.sync()
            report = client.fsck()
        except ZhixinError as fault:
            faults.append(["stuck", f"{name}: {fault.code}: {fault.message}"])
            continue
        if not report.ok:
            faults.append(["unclean", f"the copy of {name}: {report.message}"])
    faults += unclean(root, ["log"], "after publishing on")
    if not any(kind == "stuck" for kind, _ in faults):
        faults += lost(clients[world.OWNER], said + heard) + forked(clients, said + heard)
    for client in clients.values():
        client.close()
    return faults


def unclean(root: Path, places: list[str], when: str) -> list[list[str]]:
    """Audit the files of the log and of copies, where a checkpoint is published."""
    found = []
    for place in places:
        folder = root / world.OPERATOR / "log" if place == "log" else root / place / "ledger"
        if (folder / "checkpoint").exists():
            report = audit(folder)
            if not report.ok:
                found.append(["unclean", f"{place} {when}: {report.code}: {report.message}"])
    return found


def forgotten(root: Path, said: Said) -> list[list[str]]:
    """A witness that does not remember a cosignature which others may have could sign another."""
    sizes: dict[str, int] = {}
    for item in said:
        if item[0] == "given":
            sizes[item[1]] = max(sizes.get(item[1], 0), item[2])
    faults = []
    for name, size in sizes.items():
        mirror = Mirror(root / name / "ledger")
        record = mirror.cosigned()
        mirror.close()
        if record is None or record[0] < size:
            faults.append(["fork", f"the witness of {name} forgot that it cosigned {size} entries"])
    return faults


def signed(text: str) -> checkpoint.Checkpoint:
    """The checkpoint that a recorded signature is of."""
    message = base64.b64decode(text)
    if message.startswith(b"cosignature/v1\n"):
        message = message.split(b"\n", 2)[2]
    return checkpoint.parse(message)


def lost(client: LedgerClient, said: Said) -> list[list[str]]:
    faults = []
    entries = dict(client.entries())
    for item in said:
        if item[0] == "entry":
            kept = entries.get(item[1])
            if kept is None or hashlib.sha256(kept).hexdigest() != item[2]:
                faults.append(["lost", f"entry {item[1]}"])
        elif item[0] == "receipt":
            index = parse_receipt(base64.b64decode(item[1])).index
            if index not in entries:
                faults.append(["lost", f"entry {index} of a receipt"])
    statements = [data for data in entries.values() if not seal.is_seal(data)]
    want = [data for group in world.rounds() for data in group]
    if statements[-len(want) :] != want:
        faults.append(["lost", "the entries at the end are not those submitted, in order, once"])
    return faults


def forked(clients: dict[str, LedgerClient], said: Said) -> list[list[str]]:
    faults = []
    client = clients[world.OWNER]
    size = client.state().size
    roots = {other.root_at(size) for other in clients.values()}
    if len(roots) != 1:
        faults.append(["fork", "copies have different roots"])
    for item in said:
        if item[0] == "signed":
            made = signed(item[1])
            if made.size > size or client.root_at(made.size) != made.root:
                faults.append(["fork", f"a checkpoint of {made.size} entries was signed"])
    return faults


# Requests.


def forked_child(act: Callable[[Tell], None], arm: Callable[[], None]) -> tuple[Said, int]:
    """Do something in a child; gives what it said and how it ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        os.close(write)
        signal.alarm(TIMEOUT_S)

        def tell(*item: object) -> None:
            os.write(1, json.dumps(item).encode() + b"\n")

        arm()
        status = 0
        try:
            act(tell)
        except BaseException as fault:
            tell("bug", f"{fault!r} at {traceback.format_exc().splitlines()[-3].strip()}")
            status = 1
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = [json.loads(line) for line in pipe.read().splitlines()]
    return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(request: dict[str, Any]) -> dict[str, Any]:
    root = Path(request["root"])
    shutil.copytree(request["base"], root)
    shim = ctypes.CDLL(None)
    trace = -1
    if request.get("trace"):
        trace = os.open(request["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def arm() -> None:
        folder = os.fsencode(root.resolve())
        shim.fault_arm(folder, ctypes.c_long(request["point"]), request["kind"], trace)

    def act(tell: Tell) -> None:
        tell_given(tell)
        publish(root, tell)
        shim.fault_disarm()

    said, status = forked_child(act, arm)
    if trace >= 0:
        os.close(trace)
    return {"said": said, "status": status}


def checked(request: dict[str, Any]) -> dict[str, Any]:
    def act(tell: Tell) -> None:
        tell("faults", check(Path(request["root"]), request["said"]))

    said, status = forked_child(act, lambda: None)
    if status or not said:
        return {"faults": [["bug", f"ended by {status}: {said}"]]}
    return {"faults": said[-1][1]}


def main() -> None:
    gathering.Thread = Inline  # type: ignore[assignment, misc]
    for line in sys.stdin:
        request = json.loads(line)
        answer = run(request) if request["do"] == "run" else checked(request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
