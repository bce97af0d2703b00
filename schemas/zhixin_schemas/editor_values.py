"""What the custom properties ``zhixin.*`` hold, for the schema that editors read.

Each has a JSON schema of its value, with the description that an editor shows; what a source may
say is named in :data:`zhixin_schemas.header.SOURCE_OPTIONS`, and a test holds that all stand here.
"""

from __future__ import annotations

from typing import Any

from zhixin_schemas.partitioning import MOST_PARTITIONS
from zhixin_schemas.rules import SEVERITIES

__all__ = ["CLEAR", "SEVERITY", "SOURCE_VALUES", "TREATMENTS"]

Schema = dict[str, Any]

_KEY_OF: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"}
_GENERAL: Schema = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {
        "to": {"enum": ["month", "year"], "description": "A date or timestamp to its beginning."},
        "step": {"type": "number", "exclusiveMinimum": 0, "description": "17 → 15 by a step of 5."},
        "prefix": {"type": "integer", "minimum": 1, "description": "The first characters only."},
    },
}
CLEAR: dict[str, Schema] = {
    "clear": {"const": True, "description": "true: restricted, and meant to be written as it is."}
}
TREATMENTS: dict[str, Schema] = {
    "treatment": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {
            "pseudonym": {**_KEY_OF, "description": "Name of the key, which stays in the home."},
            "generalise": _GENERAL,
        },
        "description": "What becomes of the values before anything is written.",
    },
    **CLEAR,
}
_CHARACTER: Schema = {"type": "string", "maxLength": 2}
SOURCE_VALUES: dict[str, Schema] = {
    "null": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Words that mean null in a text source, such as [NA].",
    },
    "nullQuoted": {"type": "boolean", "description": "true: they mean null in quotes too."},
    "delimiter": {**_CHARACTER, "description": "Between fields: one ASCII character, or \\t."},
    "quote": {**_CHARACTER, "description": "Around fields: one ASCII character; empty for none."},
    "encoding": {"type": "string", "description": "Of a text file, such as gb18030; else UTF-8."},
    "skipRows": {"type": "integer", "minimum": 0, "description": "Lines before the header."},
    "headerRows": {
        "type": "integer",
        "minimum": 0,
        "maximum": 9,
        "description": "Header lines, joined by /; 1 where it is not said, 0 for none.",
    },
    "sheet": {
        "type": ["string", "integer"],
        "description": "Of a workbook: the sheet's name, or its number from 1.",
    },
    "range": {"type": "string", "description": "The table's cells in a sheet, such as A3:F200."},
    "dateFormat": {
        "type": "string",
        "description": "Form of texts that are dates, such as y年M月d日; ISO 8601 if not said.",
    },
    "timezone": {
        "type": "string",
        "description": "IANA name of the zone of times that carry none, such as Asia/Shanghai.",
    },
    "binary": {"enum": ["base64", "hex"], "description": "How a text source writes bytes."},
    "watermark": {
        "type": "string",
        "description": "A field of numbers or times: its greatest value stands in the manifest.",
    },
    "incremental": {
        "enum": ["append", "key"],
        "description": "A run reads what is new by the watermark: rows that were only added, or "
        "that replace the record of their primary key.",
    },
    "lateness": {
        "type": ["string", "number"],
        "description": "How far below the last watermark a run reads again: PT1H, P2D, or a "
        "number.",
    },
    "deleted": {
        "type": "string",
        "description": "The field that is true, or has a time, where the row is deleted.",
    },
    "partition": {
        "type": "string",
        "description": "The field that divides the records among workers: the key's first.",
    },
    "partitions": {
        "oneOf": [
            {"type": "integer", "minimum": 2, "maximum": MOST_PARTITIONS},
            {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}},
        ],
        "description": "Into how many spans, or at which values a new one begins.",
    },
    "immutable": {
        "type": "boolean",
        "description": "true: past records never change, so spans need no common snapshot.",
    },
    "records": {
        "type": "string",
        "description": "The records of a JSON document: data.items, features[].properties.",
    },
    "optional": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Members that may be absent from all records of JSON.",
    },
    "total": {"type": "string", "description": "The member that counts all records of JSON."},
    "paging": {
        "enum": ["none", "link", "cursor", "page", "offset"],
        "description": "How pages follow one another over HTTP; none if not said.",
    },
    "next": {"type": "string", "description": "The member with the next address or cursor."},
    "pageParameter": {
        "type": "string",
        "description": "The parameter that takes the cursor, page or offset.",
    },
    "firstPage": {"type": "integer", "minimum": 0, "description": "Its number, 1; or offset, 0."},
    "pageSize": {"type": "integer", "minimum": 0, "description": "Records of a page."},
    "sizeParameter": {"type": "string", "description": "The parameter that takes pageSize."},
    "sql": {
        "type": "string",
        "description": 'One SELECT in DuckDB\'s SQL over "member/dataset", of a derived dataset.',
    },
}
SEVERITY: dict[str, Schema] = {
    "severity": {"enum": list(SEVERITIES), "description": "Of the relationship; else error."}
}
