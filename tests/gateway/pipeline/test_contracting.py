"""A contract's step into the ledger: as high as its changes ask for, or refused."""

import pytest
from zhixin_errors import ContractError, LedgerUnavailable
from zhixin_gateway.pipeline import contracting, run
from zhixin_gateway.pipeline.contracting import publish_contract, published_contract
from zhixin_schemas.loader import load_contract_file

ROWS = [("2024-01-01", "L1", 1, "JFK"), ("2024-01-02", "L1", 2, "JFK")]


class Told:
    """Progress that keeps what it was warned of."""

    def __init__(self):
        self.warned = []

    def __getattr__(self, name):
        return self.warned.append if name == "warn" else lambda *_: None


def wider(path):
    path.write_text(path.read_text().replace("maximum: 500", "maximum: 600"))
    return path


def test_a_run_refuses_a_breaking_change_without_a_new_major_version(world):
    world.fill("stops", ROWS)
    assert run(world.owner, world.stops()).version == 1
    with pytest.raises(
        ContractError, match=r"seats.range is looser.*wants version 2.0.0"
    ) as caught:
        run(world.owner, wider(world.stops(version="1.1.0")))
    assert caught.value.code == "contract-version"
    with pytest.raises(ContractError, match="wants version 2"):
        run(world.owner, wider(world.stops(version="1.1.0")), dry_run=True)
    assert run(world.owner, wider(world.stops(version="2.0.0"))).version == 2


def test_an_additive_change_wants_a_minor_version(world):
    world.fill("stops", ROWS)
    rule = "      - {name: x, type: custom, engine: zhixin, implementation: seats > 0}\n"
    run(world.owner, world.stops())
    with pytest.raises(ContractError, match=r"adds .* x is checked too; that wants .*1\.1\.0"):
        run(world.owner, world.stops(version="1.0.1", quality=rule))
    assert run(world.owner, world.stops(version="1.1.0", quality=rule)).version == 2


def test_the_contract_in_force_is_known_before_its_first_version(world, zhixin):
    home = world.owner.path
    assert zhixin("contract", "publish", world.stops(), home=home).code == 0
    new = wider(world.stops(version="1.1.0"))
    refused = zhixin("contract", "publish", new, home=home)
    assert refused.code == 1
    assert "wants version 2.0.0" in refused.err
    told = zhixin("contract", "diff", "bts.gov.example/stops", new, home=home)
    assert told.code == 0, told.err
    assert "breaking  seats.range is looser" in told.out
    assert "[whoever reads seats and relies on seats.range]" in told.out
    assert "1.0.0 → 2.0.0" in told.err
    unknown = zhixin("contract", "diff", "bts.gov.example/nothing", new, home=home)
    assert unknown.code == 2


def test_a_lost_contract_is_found_in_the_store_or_said_to_be_lost(world):
    world.fill("stops", ROWS)
    run(world.owner, world.stops())
    kept = world.owner.path / "runs" / "bts.gov.example" / "stops.contract.yaml"
    kept.unlink()
    state = world.owner.ledger_client().sync()
    assert published_contract(world.owner, state, "bts.gov.example/stops").version == "1.0.0"
    with pytest.raises(ContractError):
        run(world.owner, wider(world.stops(version="1.1.0")))
    (world.owner.store / "bts.gov.example/stops/1/contract.yaml").write_text("changed")
    told = Told()
    run(world.owner, wider(world.stops(version="1.1.0")), progress=told)
    assert any("was not checked" in text for text in told.warned)


def test_a_contract_is_known_though_the_ledgers_answer_was_lost(world, monkeypatch):
    def lost(*given):
        stated(*given)
        raise LedgerUnavailable("the connection was lost")

    world.fill("stops", ROWS)
    stated, client = contracting.state_contract, world.owner.ledger_client()
    monkeypatch.setattr(contracting, "state_contract", lost)
    with pytest.raises(LedgerUnavailable):
        publish_contract(world.owner, client, load_contract_file(world.stops()), client.sync())
    monkeypatch.undo()
    with pytest.raises(ContractError, match=r"wants version 2\.0\.0"):
        run(world.owner, wider(world.stops(version="1.1.0")))
