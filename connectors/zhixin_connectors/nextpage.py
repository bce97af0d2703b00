"""The next page, as an answer names it; and ways to name one that nobody declared.

::

    Link: </l?page=2>; rel="next"                      RFC 8288
    {"next": "…"}  {"links": {"next": {"href": "…"}}}  an address in a member
    {"links": [{"rel": "next", "href": "…"}]}          in a list of links (OGC, STAC; FHIR)
    {"next_cursor": "…"}  {"has_more": true}           a cursor; a sign that there is more

An answer that is taken for the last while it names another would lose records without a word.
"""

from __future__ import annotations

import re

from zhixin_connectors.jsondocument import member_at

__all__ = ["address_at", "by_header", "named"]

_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_LINK = re.compile(rf'<([^<>]*+)>((?:\s*+;(?:{_QUOTED}|[^";,])*+)*+)')
_PARAMETER = re.compile(rf'([\w*-]+)\s*=\s*({_QUOTED}|[^";,]*+)')
_SAYS_NEXT = re.compile(r"\brel\s*=\s*[\"']?(?:[^\"';,<>]*\s)?next(?![\w-])", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://|[/?]")
_ADDRESSES = (
    *("@odata.nextLink", "odata.nextLink", "nextLink", "next", "next_url", "next_page_url"),
    *("links", "link", "links.next", "_links.next", "meta.next", "paging.next", "pagination.next"),
    "info.next",
)
_CURSORS = (
    *("nextPageToken", "next_page_token", "nextToken", "next_token", "nextCursor", "next_cursor"),
    *("meta.next_cursor", "paging.next_cursor", "pagination.next_cursor"),
    "response_metadata.next_cursor",
)
_SIGNS = (
    *("has_more", "hasMore", "has_next", "hasNext", "hasNextPage", "pageInfo.hasNextPage"),
    *("exceededTransferLimit", "properties.exceededTransferLimit"),
    *("meta.has_more", "paging.has_more", "pagination.has_more"),
)


def by_header(header: str) -> str | None:
    """The target of ``rel=next`` in a Link header."""
    for target, parameters in _LINK.findall(header):
        for name, value in _PARAMETER.findall(parameters):
            words = value.strip("\"' \t").lower().split()
            if name.lower() == "rel" and "next" in words:
                return str(target)
    return None


def address_at(beside: dict[str, object], path: str) -> object:
    """The address of the next page in a member, or in the object or list of links that it is."""
    found = member_at(beside, path)
    if isinstance(found, list) and all(isinstance(each, dict) for each in found):
        found = next((e for e in found if e.get("rel", e.get("relation")) == "next"), None)
    if isinstance(found, dict):
        return found.get("href", found.get("url", found))
    return found


def named(header: str, beside: dict[str, object]) -> str:
    """What in an answer names a page after it, whatever the contract says; empty if nothing."""
    if by_header(header) is not None or _SAYS_NEXT.search(header):
        return "the Link header"
    for path in _ADDRESSES:
        link = address_at(beside, path)
        if isinstance(link, str) and _ADDRESS.match(link):
            return path
    for path in _CURSORS:
        cursor = member_at(beside, path)
        if type(cursor) is str and cursor:  # a number is 0 at the end of some
            return path
    return next((path for path in _SIGNS if member_at(beside, path) is True), "")
