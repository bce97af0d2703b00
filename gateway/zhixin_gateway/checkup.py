"""A home's check-up, for ``zhixin doctor``: what is missing or wrong, and the way out.

Each check answers ``ok``, ``warn`` or ``fail`` with one sentence. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from zhixin_errors import ZhixinError

from zhixin_gateway.home import COSIGNER_KEY, LOG_KEY, STATEMENT_KEY
from zhixin_gateway.keyring import USES, next_key_file

if TYPE_CHECKING:
    from zhixin_gateway.home import Home
    from zhixin_gateway.stores import Store

__all__ = ["Finding", "check_up"]

_LATE_S = 5


@dataclass(frozen=True)
class Finding:
    """One check and what it found.

    Args:
        check: what was looked at.
        state: ``ok``, ``warn`` or ``fail``.
        message: one sentence.
    """

    check: str
    state: str
    message: str


def check_up(home: Home) -> list[Finding]:
    """Look at everything that a member needs.

    Args:
        home: the member's.
    """
    found: list[Finding] = []
    for name, look in _CHECKS:
        try:
            found.extend(Finding(name, state, message) for state, message in look(home))
        except ZhixinError as error:
            hint = f" ({error.hint})" if error.hint else ""
            found.append(Finding(name, "fail", error.message + hint))
    return found


def _keys(home: Home) -> Iterator[tuple[str, str]]:
    for name in (STATEMENT_KEY, COSIGNER_KEY):
        home.signer(name)
    keys = "statement and cosigner key"
    if (home.keys_dir / LOG_KEY).exists():
        home.signer(LOG_KEY)
        keys += ", and the log's"
    yield "ok", f"{keys} can be used, and by nobody else"
    for use in USES:
        if next_key_file(home, use).exists():
            yield (
                "warn",
                f"a new {use} key waits for its rotation: `zhixin member submit FILE` brings it in",
            )


def _ledger(home: Home) -> Iterator[tuple[str, str]]:
    client = home.ledger_client()
    state = client.sync()
    yield "ok", f"{client.origin}: {state.size:,} entries, replayed here"
    member = state.members.get(home.member)
    if member is None:
        yield "fail", f"{home.member} is no member of {client.origin}"
    elif not member.active:
        yield "fail", f"{home.member} left {client.origin}"


def _network(home: Home) -> Iterator[tuple[str, str]]:
    """What is reached over HTTP, if anything is: the log, and each witness by its own."""
    from zhixin_ledger.http.client import HttpLog, HttpWitness

    url = home.settings.ledger_url
    if _scheme(url):
        log = HttpLog(url)
        told = log.status()
        yield _published(url, told.get("size"), told.get("published"), told.get("pending_age_s"))
        if _scheme(url) == "http" and not _on_this_machine(url):
            yield "warn", f"{url}: plain http; whoever is between can hold back, though not forge"
    served = [witness for witness in home.settings.witnesses if _scheme(witness.url)]
    if not served:
        return
    with home.ledger_client() as client:
        origin = client.origin
    for witness in served:
        try:
            last = HttpWitness(witness.name, witness.url).latest(origin)
            cosigned = "nothing yet" if last is None else f"{_size_of(last):,} entries"
            yield "ok", f"{witness.name}: its witness has cosigned {cosigned}"
        except ZhixinError as error:
            yield "warn", f"{witness.name}: {error.message}"


def _published(url: str, size: object, published: object, age: object) -> tuple[str, str]:
    if not isinstance(size, int) or not isinstance(published, int):
        return "ok", f"{url}: reached; it does not tell how it stands"
    told = f"{url}: {size:,} entries are durable, {published:,} of them published"
    if published < size and isinstance(age, (int, float)) and age > _LATE_S:
        return "warn", f"{told}; the oldest has waited {age:,.0f} s for the quorum"
    return "ok", told


def _size_of(note: bytes) -> int:
    from zhixin_ledger import checkpoint
    from zhixin_ledger.note import Note

    return checkpoint.parse(Note.parse(note).text).size


def _scheme(url: str) -> str:
    """``http`` or ``https``; nothing for what lies on this machine."""
    scheme = url.partition(":")[0]
    return scheme if scheme in ("http", "https") else ""


def _on_this_machine(url: str) -> bool:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _trust(home: Home) -> Iterator[tuple[str, str]]:
    pinned = home.pinned_trust()
    yield "ok", f"{pinned.origin}, as pinned at {pinned.size:,} entries: {pinned.fingerprint}"
    view = home.ledger_view()
    if view is None:
        return
    if view.origin != pinned.origin:
        yield (
            "fail",
            f"this home's copy is of {view.origin}, another ledger than the trust's: `zhixin init "
            "MEMBER --join` makes a home that follows the trust's",
        )
    elif view.state().size >= pinned.size and view.root_at(pinned.size) != pinned.root:
        yield "fail", "this home's copy of the ledger contradicts the trust: there are two ledgers"


def _stores(home: Home) -> Iterator[tuple[str, str]]:
    from zhixin_gateway.stores import LocalStore, open_store
    from zhixin_gateway.stores.trial import try_reading, try_writing

    own, answers = home.open_store(), True
    for state, message in () if isinstance(own, LocalStore) else try_writing(own):
        answers &= state != "fail"
        yield state, message
    for member in home.settings.stores:
        store = open_store(home.store_of(member), home.environ)
        if store.folder is None:
            yield try_reading(member, store)
        elif store.folder.is_dir():
            yield "ok", f"{member}: its store can be read"
        else:
            yield "warn", f"{member}: there is no store at the place that [stores] names"
    if answers:
        yield from _missing(home, own)


def _missing(home: Home, own: Store) -> Iterator[tuple[str, str]]:
    """Versions of one's own that the ledger has, and the store not: it may be another store."""
    from zhixin_gateway.pipeline.staging import unfinished

    view = home.ledger_view()
    waiting = {work.dataset for work in unfinished(home)}
    for fact in view.state().datasets() if view is not None else ():
        dataset, version = fact.dataset, fact.version
        if not dataset.startswith(f"{home.member}/") or dataset in waiting:
            continue
        if not (own.is_there(dataset, version) or own.is_erased(dataset, version)):
            yield (
                "warn",
                f"{dataset}@{version} stands in the ledger, but not in {own.name}: is `store` in "
                "zhixin.toml the right place? A run here publishes all its records anew",
            )


def _sources(home: Home) -> Iterator[tuple[str, str]]:
    for name in home.settings.sources:
        try:
            home.open_source(name).check()
            yield "ok", f"{name}: reached"
        except ZhixinError as error:
            yield "fail", f"{name}: {error.message}"


def _pending(home: Home) -> Iterator[tuple[str, str]]:
    from zhixin_gateway.pipeline.staging import unfinished

    waiting = [work.dataset for work in unfinished(home)]
    if waiting:
        yield "warn", f"{', '.join(waiting)}: proof pending; `zhixin status --resume` finishes it"
    else:
        yield "ok", "nothing waits for its proof"


def _put_back(home: Home) -> Iterator[tuple[str, str]]:
    """A log or witness that was put back, and signs nothing before others confirmed it."""
    from zhixin_ledger import standing_check
    from zhixin_ledger.transport import LOG_FOLDER

    for what, folder in (("log", home.path / LOG_FOLDER), ("witness", home.ledger_dir)):
        if standing_check.is_restored(folder):
            yield (
                "warn",
                f"the {what} was put back and asks other members before it signs; what was signed "
                "since comes by `zhixin ledger rebuild --from MIRROR`",
            )


def _histories(home: Home) -> Iterator[tuple[str, str]]:
    """Proof that the ledger has two histories, which copy or consumer met."""
    from zhixin_ledger import forks

    names = [
        path.name if folder == home.ledger_dir else str(path)
        for folder in (home.ledger_dir, home.path / "seen")
        for path in forks.kept(folder)
    ]
    for name in names:
        yield "fail", f"two histories were signed: `zhixin ledger equivocation {name}` says by whom"
    if not names:
        yield "ok", "no two histories of it were met"


def _erasures(home: Home) -> Iterator[tuple[str, str]]:
    from zhixin_gateway.erasing import left_behind, unfinished

    begun = [name for erasure in unfinished(home) for name in erasure.names]
    if begun:
        yield "warn", f"{', '.join(begun)}: not erased to the end; `zhixin status --resume` does it"
    view = home.ledger_view()
    left = [] if view is None else [name for name in left_behind(home, view) if name not in begun]
    for name in left:
        own = name.startswith(f"{home.member}/")
        place = home.open_store().name
        way = f"`zhixin erase {name}` destroys it" if own else f"delete it from {place}"
        yield "warn", f"{name} was withdrawn for privacy and lies here whole: {way}"
    if not begun and not left:
        yield "ok", "nothing lies here that was withdrawn for privacy"


def _contracts(home: Home) -> Iterator[tuple[str, str]]:
    from zhixin_schemas.loader import read_contract

    for path in sorted((home.path / "contracts").glob("*.odcs.yaml")):
        problems = read_contract(path.read_bytes()).problems
        if problems:
            yield "fail", f"{path.name}:{problems[0]}"
        else:
            yield "ok", f"{path.name} can be used"


def _kernel(_home: Home) -> Iterator[tuple[str, str]]:
    from zhixin_gateway.datasets import hashing, native

    version, found = hashing.kernel(), native.installed()
    if version is not None:
        yield "ok", f"the native kernel {version} hashes records"
    elif found is None:
        yield "warn", "records are hashed in pure Python, slowly: `make kernel` builds the kernel"
    elif found != native.PROTOCOL:
        yield (
            "warn",
            "records are hashed in pure Python: the kernel that is installed is of another release "
            "than this gateway; `make kernel` builds one that fits",
        )
    else:
        yield "warn", "records are hashed in pure Python, because ZHIXIN_KERNEL says so"


def _extras(_home: Home) -> Iterator[tuple[str, str]]:
    for module, extra, use in (
        ("great_expectations", "quality", "the second opinion"),
        ("airflow", "airflow", "runs on a schedule"),
        ("psycopg", "postgresql", "PostgreSQL sources"),
        ("pymysql", "mysql", "MariaDB and MySQL sources"),
        ("python_calamine", "excel", "workbooks as sources"),
        ("fastapi", "node", "serving a ledger or a witness"),
    ):
        if find_spec(module) is None:
            yield "warn", f"{use} would need `pip install 'zhixin-gateway[{extra}]'`"
        else:
            yield "ok", f"{use}: installed"


_CHECKS: tuple[tuple[str, Callable[[Home], Iterator[tuple[str, str]]]], ...] = (
    ("keys", _keys),
    ("ledger", _ledger),
    ("network", _network),
    ("histories", _histories),
    ("put back", _put_back),
    ("trust", _trust),
    ("stores", _stores),
    ("sources", _sources),
    ("contracts", _contracts),
    ("pending", _pending),
    ("erasures", _erasures),
    ("kernel", _kernel),
    ("installed", _extras),
)
