"""Makes the home of the release before, with that release's own code: see README."""

import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import zhixin_gateway
from zhixin_gateway import pipeline
from zhixin_gateway.founding import found
from zhixin_gateway.home import create_home

print(zhixin_gateway.__file__)
CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: city.gov.example/stops
version: 1.0.0
status: active
name: Stops
servers:
  - {server: silo, type: custom}
schema:
  - name: stops
    physicalName: stops
    logicalType: object
    properties:
      - {name: line, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: seats, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 500}}
"""
path = Path(sys.argv[1])


def fill(*rows):
    db = sqlite3.connect(path / "silo.db")
    db.execute("DROP TABLE IF EXISTS stops")
    db.execute("CREATE TABLE stops (line, seats)")
    db.executemany("INSERT INTO stops VALUES (?, ?)", rows)
    db.commit()
    db.close()


home = create_home(path, "city.gov.example", {"en": "City Office", "zh": "市政厅"}, operator=True)
(home,) = found(home, [home], "ledger.city.gov.example/2026")
home = home.save(replace(home.filed_settings(), sources={"silo": "sqlite:///silo.db"}))
contract = path / "contracts" / "stops.odcs.yaml"
contract.write_text(CONTRACT)
fill(("A", 10), ("B", 20), ("C", 999))
print(pipeline.run(home, contract).version)
fill(("A", 10), ("B", 21))
print(pipeline.run(home, contract).version)
fill(("A", 10), ("B", 22))
(path / "log").rename(path / "away")
print(pipeline.run(home, contract).pending)
(path / "away").rename(path / "log")
text = (path / "zhixin.toml").read_text()
(path / "zhixin.toml").write_text("# The home of the City Office.\n" + text)
for db in path.rglob("*.sqlite"):
    c = sqlite3.connect(db)
    c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    c.close()
for p in [*path.rglob("*.lock"), *path.rglob("*-wal"), *path.rglob("*-shm")]:
    p.unlink()
