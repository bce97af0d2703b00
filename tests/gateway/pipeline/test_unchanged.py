"""A million records that did not change cost their reading; one that did costs two parts at most.

Through PostgreSQL and MariaDB, with the real rule that cuts: a million records are a few parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory, writer
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.gate import verify

DATASET = "bts.gov.example/stays"
ROWS = 1_000_000
CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/stays
version: 1.0.0
status: active
name: Stays
servers: [{server: silo, type: custom}]
schema:
  - name: stays
    physicalName: stays
    logicalType: object
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: nights, logicalType: integer, logicalTypeOptions: {minimum: 0}}
"""
BEFORE = 55_000_000
"""Keys are the even numbers beyond: of these a million are cut into four parts."""
MIDDLE = BEFORE + 800_000


@pytest.fixture(params=["postgresql", "mariadb"])
def silo(request, world, monkeypatch) -> Callable[[str], None]:
    """Runs SQL in a database that is the source, with a table of a million stays."""
    import sqlalchemy as sa

    if request.param == "postgresql":
        import psycopg

        url = request.getfixturevalue("postgresql_url")
        rows = (
            f"SELECT {BEFORE} + 2 * g AS id, g % 30 AS nights FROM generate_series(1, {ROWS}) AS g"
        )
        connection = psycopg.connect(url, autocommit=True)
        run, prefix = connection.execute, "postgresql"
    else:
        url, run = request.getfixturevalue("mariadb")
        rows = f"SELECT {BEFORE} + 2 * seq AS id, seq % 30 AS nights FROM seq_1_to_{ROWS}"
        connection, prefix = None, "mysql"
    run("DROP TABLE IF EXISTS stays")
    run(f"CREATE TABLE stays AS {rows}")
    run("ALTER TABLE stays ADD PRIMARY KEY (id)")
    at = sa.make_url(url)
    monkeypatch.setenv("ZHIXIN_SOURCES_SILO_SECRET", at.password)
    address = f"{prefix}://{at.username}@{at.host}:{at.port}/{at.database}"
    home = world.owner
    world.owner = home.save(replace(home.filed_settings(), sources={"silo": address}))
    (world.owner.path / "contracts" / "stays.odcs.yaml").write_text(CONTRACT)
    yield run
    run("DROP TABLE stays")
    if connection is not None:
        connection.close()


def parts(home, version):
    """Each part of a version: its inode and what its manifest says, its name apart."""
    folder = directory.version_path(home.store, DATASET, version)
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    return {
        (folder / entry.path).stat().st_ino: replace(entry, path="") for entry in manifest.parts
    }


@pytest.mark.slow
def test_a_change_in_the_middle_of_a_million_records_rewrites_two_parts_at_most(
    world, silo, monkeypatch
):
    home, contract = world.owner, world.owner.path / "contracts" / "stays.odcs.yaml"
    first = pipeline.run(home, contract)
    assert (first.version, first.records) == (1, ROWS)
    assert [entry.records for entry in parts(home, 1).values()] == [110349, 169999, 187711, 531941]

    encoded = []
    encode = writer._Encoder.append
    monkeypatch.setattr(
        writer._Encoder, "append", lambda *given: (encoded.append(1), encode(*given))
    )
    again = pipeline.run(home, contract)
    assert (again.version, again.standing, again.extracted) == (None, 1, ROWS)
    assert encoded == []
    assert directory.list_versions(home.store, DATASET) == [1]

    for version, change in enumerate(
        [
            f"UPDATE stays SET nights = 99 WHERE id = {MIDDLE}",
            f"INSERT INTO stays VALUES ({MIDDLE + 1}, 7)",
            f"DELETE FROM stays WHERE id = {MIDDLE}",
        ],
        start=2,
    ):
        silo(change)
        assert pipeline.run(home, contract).version == version
        before, after = parts(home, version - 1), parts(home, version)
        kept = before.keys() & after.keys()
        assert len(before) - len(kept) <= 2
        assert len(after) - len(kept) <= 2
        assert all(before[inode] == after[inode] for inode in kept)  # root, salts and digests
        new = {entry.salt_key for inode, entry in after.items() if inode not in kept}
        assert new.isdisjoint(entry.salt_key for entry in before.values())
    path = directory.version_path(home.store, DATASET, 4)
    verdict = verify(path, home.trust(), deep=True, ledger_copy=home.ledger_view())
    assert (verdict.ok, verdict.records) == (True, ROWS)
