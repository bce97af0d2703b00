"""JSON over HTTP as a source: a list of records, page after page.

::

    [sources.weather]                    https://api.example/v2  +  physicalName stations?year=2026
    url = "https://api.example/v2"         → GET https://api.example/v2/stations?year=2026
    auth = "bearer"

    zhixin.records  where the list is in the answer
    zhixin.paging   link    Link: <…>; rel="next", or the address in the member of zhixin.next
                    cursor  the member of zhixin.next goes into the parameter zhixin.pageParameter
                    page    a number that counts up, to an empty page or zhixin.total
                    offset  the number of records so far (and zhixin.firstPage), likewise
                    none    one answer; one that names a next page is refused, not cut

Pages are asked for one after another, and so a source that changes meanwhile may show a record
twice (the primary key tells) or not at all (``zhixin.total`` tells). One page at a time is held.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError

from zhixin_connectors import jsoncolumns, nextpage
from zhixin_connectors.access import Access, secret_parameter, split_access
from zhixin_connectors.addresses import joined, origin, with_parameters
from zhixin_connectors.describe import describe
from zhixin_connectors.jsoncolumns import JsonRow, declared, seen_columns
from zhixin_connectors.jsondocument import JsonDocument, count_of, member_at
from zhixin_connectors.options import Secret, SourceOptions, parse_options
from zhixin_connectors.protocol import (
    Extracted,
    ReadRequest,
    SeenColumn,
    TableDescription,
    TableInfo,
)
from zhixin_connectors.spans import spanned
from zhixin_connectors.textstream import Utf8Stream

if TYPE_CHECKING:
    from zhixin_connectors.httpclient import Answer, HttpClient

__all__ = ["HttpSource", "open_http"]

_DESCRIBED = 10_000
_NEEDS = {  # what each way to log in can't do without
    "basic": ("user", "secret"),
    "bearer": ("secret",),
    "oauth": ("token_url", "client_id", "secret"),
    "header": ("key_name", "secret"),
    "query": ("key_name", "secret"),
}


def open_http(url: str, options: Mapping[str, Any], name: str) -> HttpSource:
    """What the registry calls for ``http:`` and ``https:``.

    Raises:
        ConfigError: no address of a server, or a login that lacks something.
    """
    access, own = split_access(options)
    parts = _parts(url, name)
    access = _with_userinfo(access, parts.username, parts.password)
    missing = [need for need in _NEEDS.get(access.auth, ()) if not getattr(access, need)]
    if missing:
        raise ConfigError(
            f'source {name}: auth = "{access.auth}" lacks {" and ".join(missing)}',
            hint="the secret comes from ZHIXIN_SOURCES_<NAME>_SECRET, the rest from [sources]",
        )
    if access.secret and not access.auth:
        raise ConfigError(
            f"source {name}: there is a secret, and auth does not say how it is sent",
            hint='such as auth = "bearer" in [sources] of zhixin.toml',
        )
    if access.auth in {"bearer", "header"} and not access.secret.isascii():
        raise ConfigError(f"source {name}: the secret holds characters that can't be sent")
    if access.auth == "header" and not _may_carry(access.key_name):
        raise ConfigError(
            f"source {name}: key_name is no name of a header that may carry a secret",
            hint="such as X-Api-Key",
        )
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return HttpSource(urlunsplit(bare), access, own, name)


def _may_carry(header: str) -> bool:
    """Whether a header of that name can be sent, and says nothing of the request itself."""
    taken = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
    token = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header)
    return token is not None and header.lower() not in taken


def _parts(url: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0 and not parts.fragment:
            return parts
    except ValueError:  # such as a port that is no number
        pass
    raise ConfigError(
        f"source {name}: its url is no address of a server",
        hint="write https://host/path; what comes after it is the contract's physicalName",
    )


def _with_userinfo(access: Access, user: str | None, password: str | None) -> Access:
    """An address with a login in it, as a scheduler's connection has it."""
    if access.auth or not password:
        return replace(access, user=access.user or unquote(user or ""))
    auth = "basic" if user else "bearer"
    return replace(access, auth=auth, user=unquote(user or ""), secret=Secret(unquote(password)))


class HttpSource:
    """A connector to one server's JSON.

    Args:
        base: its URL, without credentials.
        access: login and limits.
        options: ``zhixin.*`` options of the source.
        name: what messages call it.
    """

    def __init__(self, base: str, access: Access, options: Mapping[str, Any], name: str) -> None:
        self.name = name
        self._base = base
        self._access = access
        self._options = dict(options)

    def check(self) -> None:
        """See that the server answers and takes the login."""
        _check_paging(parse_options(self._options), self.name)
        with self._client() as client:
            client.probe(self._base)

    def tables(self) -> list[TableInfo]:
        """Nothing: a server does not list what it has."""
        self.check()
        return []

    def columns(self, table: str) -> list[SeenColumn]:
        """The members of the first records."""
        with self._client() as client:
            return seen_columns(self._pages(client, table, {}).rows())

    def describe(self, table: str, *, rows: int = 100_000) -> TableDescription:
        """Look at the first pages."""
        columns = {each.name: declared(each) for each in self.columns(table)}
        return describe(self, table, columns, rows=min(rows, _DESCRIBED), options=self._options)

    def count(self, table: str) -> int | None:  # noqa: ARG002
        """Nobody knows before the last page."""
        return None

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield the records, page after page.

        Raises:
            PermanentSourceError: refused, no JSON, no list, a missing member, pages without an end.
            TransientSourceError: not reached, or changed while its pages were read.
        """
        yield from spanned(self._read(request), request, self.name)

    def _read(self, request: ReadRequest) -> Iterator[Extracted]:
        with self._client() as client:
            pages = self._pages(client, request.object, request.options)
            yield from jsoncolumns.batches(
                pages.rows(), pages.place, request, pages.options, lambda: pages.invalid
            )

    @contextmanager
    def _client(self) -> Iterator[HttpClient]:
        from zhixin_connectors.httpclient import HttpClient

        client = HttpClient(self._base, self._access, self.name)
        try:
            yield client
        finally:
            client.close()

    def _pages(self, client: HttpClient, table: str, layer: Mapping[str, Any]) -> _Pages:
        options = parse_options(self._options, layer)
        _check_paging(options, self.name)
        place = f"{self.name}, {table}"
        return _Pages(client, self._address(table), place, options, self._access)

    def _address(self, table: str) -> str:
        """A path under the source's own address, and never another."""
        path, _, query = table.partition("?")
        climbs = ".." in re.split(r"[/\\\\;]", unquote(unquote(path)))  # as servers may read it
        if climbs or "#" in table or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", table):
            raise PermanentSourceError(
                f"source {self.name}: {path} lies outside of its address",
                hint="physicalName is a path and a query under the source's url",
            )
        secret = secret_parameter(table)
        if secret:
            raise PermanentSourceError(
                f"source {self.name}: {path} has the parameter {secret}, and a secret has no place "
                "in a contract",
                code="secret-in-contract",
                hint=f'say auth = "query" and key_name = "{secret}" in [sources] of zhixin.toml',
            )
        base = urlsplit(self._base)
        joined = f"{base.path.rstrip('/')}/{path.lstrip('/')}" if path else base.path
        queries = "&".join(filter(None, (base.query, query)))
        return urlunsplit(base._replace(path=joined, query=queries))


def _check_paging(options: SourceOptions, name: str) -> None:
    lacks = ""
    if options.paging == "cursor" and not (options.next and options.page_parameter):
        lacks = "zhixin.paging: cursor needs zhixin.next and zhixin.pageParameter"
    if options.page_size and not options.size_parameter:
        lacks = "zhixin.pageSize needs zhixin.sizeParameter, the parameter that takes it"
    if lacks:
        raise ConfigError(f"source {name}: {lacks}")


@dataclass
class _Pages:
    """The pages of one list, and what tells that one of them is missing or comes twice."""

    client: HttpClient
    first: str
    place: str
    options: SourceOptions
    access: Access
    invalid: bool = False
    _records: int = 0
    _total: int | None = None
    _asked: set[str] = field(default_factory=set)
    _bodies: set[bytes] = field(default_factory=set)

    def rows(self) -> Iterator[JsonRow]:
        """All records.

        Raises:
            SourceError: as ``HttpSource.read`` says.
        """
        url: str | None = self._first()
        while url is not None:
            answer = self._ask(url)
            stream = Utf8Stream(io.BytesIO(answer.body), "utf-8", self.place)
            document = JsonDocument(stream, self.options.records, self.place)
            before = self._records
            for row in document.rows():
                self.invalid = self.invalid or stream.invalid
                self._records += 1
                yield row
            count = self._records - before
            self._check_page(answer, document.beside, count)
            url = self._next(answer, document.beside, count)
        if self._total is not None and self._total != self._records:
            raise TransientSourceError(
                f"source {self.place}: {self.options.total} says {self._total:,} records, and "
                f"{self._records:,} came",
                code="count-mismatch",
                hint="records came or went while its pages were read, or zhixin.paging is not what "
                "the server does; nothing was published",
            )

    def _first(self) -> str:
        parameters: dict[str, str | None] = {}
        if self.options.page_size:
            parameters[self.options.size_parameter] = str(self.options.page_size)
        way, first = self.options.paging, self.options.first_page
        if way == "page" or (way == "offset" and first is not None):
            parameters[self.options.page_parameter or way] = str(1 if first is None else first)
        return with_parameters(self.first, parameters)

    def _ask(self, url: str) -> Answer:
        if url in self._asked:
            raise self._endless("names a page again that was read already")
        if len(self._asked) >= self.access.max_pages:
            raise self._endless(f"has more than {self.access.max_pages:,} pages")
        self._asked.add(url)
        try:
            return self.client.get(url, self.place)
        except PermanentSourceError as error:
            if error.code == "object-missing" and self._records:
                error.hint = "does it refuse pages beyond the last? say zhixin.total, where it ends"
            raise

    def _check_page(self, answer: Answer, beside: dict[str, Any], count: int) -> None:
        total = count_of(beside, self.options.total, self.place)
        if self._total is not None and total != self._total:
            raise TransientSourceError(
                f"source {self.place}: {self.options.total} says {self._total:,} records, and on a "
                f"later page {total:,}",
                code="source-changed",
                hint="it changed while its pages were read; nothing was published",
            )
        self._total = total
        digest = hashlib.sha256(answer.body).digest()
        if count and digest in self._bodies:
            raise self._endless("gives the same page again")
        self._bodies.add(digest)

    def _next(self, answer: Answer, beside: dict[str, Any], count: int) -> str | None:
        """The next page's address; None after the last."""
        way = self.options.paging
        if way == "link":
            return self._by_link(answer, beside)
        if way == "cursor":
            return self._by_cursor(answer, beside)
        if way == "none":
            self._check_last(answer, beside)
            return None
        done = count == 0 or (self._total is not None and self._records >= self._total)
        if done:
            return None
        name = self.options.page_parameter or way
        first = self.options.first_page
        if way == "page":
            number = (1 if first is None else first) + len(self._asked)
        else:
            number = (first or 0) + self._records
        return with_parameters(self._first(), {name: str(number)})

    def _by_link(self, answer: Answer, beside: dict[str, Any]) -> str | None:
        found: object = nextpage.by_header(answer.headers.get("link", ""))
        if self.options.next:
            found = nextpage.address_at(beside, self.options.next)
        if found is None or found == "":
            self._check_last(answer, beside)
            return None
        if type(found) is not str:
            raise self._no_next("address")
        url = joined(answer.url, found)
        if origin(url) != origin(answer.url):
            raise PermanentSourceError(
                f"source {self.place}: its next page is said to be on another server, which is not "
                "asked",
                code="paging-elsewhere",
                hint="the login is for the address in url alone; ask its operator",
            )
        return url.partition("#")[0]

    def _by_cursor(self, answer: Answer, beside: dict[str, Any]) -> str | None:
        found = member_at(beside, self.options.next)
        if found is None or found is False or found == "":
            self._check_last(answer, beside)
            return None
        if not isinstance(found, str):
            raise self._no_next("cursor")
        return with_parameters(self._first(), {self.options.page_parameter: str(found)})

    def _check_last(self, answer: Answer, beside: dict[str, Any]) -> None:
        """Refuse to take a page for the last, or the first of several for the whole."""
        where = nextpage.named(answer.headers.get("link", ""), beside)
        if not where:
            return
        undeclared = self.options.paging == "none"
        what = "the contract no paging" if undeclared else "zhixin.paging does not lead there"
        raise PermanentSourceError(
            f"source {self.place}: the answer names a next page, and {what}",
            code="paging-undeclared",
            hint=f"see {where} in the answer: say zhixin.paging: link or cursor, and zhixin.next "
            "where a member leads on; or page or offset",
        )

    def _endless(self, what: str) -> PermanentSourceError:
        return PermanentSourceError(
            f"source {self.place}: the server {what}",
            code="paging-loop",
            hint="does it know the parameter of zhixin.pageParameter? see zhixin.paging; max_pages "
            "in [sources] of zhixin.toml allows more",
        )

    def _no_next(self, what: str) -> PermanentSourceError:
        return PermanentSourceError(
            f"source {self.place}: there is no {what} at zhixin.next: {self.options.next}",
            code="paging-missing",
            hint="name the member that has it, with dots on the way to it",
        )
