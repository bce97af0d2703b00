import stat
import sys
from dataclasses import replace

import pytest
from zhixin_errors import ConfigError, FormatError, TrustError
from zhixin_gateway.founding import found
from zhixin_gateway.home import Home, create_home
from zhixin_ledger.locks import exclusive
from zhixin_ledger.trust_history import minimum_quorum


def test_keys_are_for_their_owner_alone(tmp_path):
    home = create_home(tmp_path / "h", "a.example", operator=True)
    for key in home.keys_dir.iterdir():
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert {key.name for key in home.keys_dir.iterdir()} == {
        "statement.pem", "cosigner.pem", "log.pem",
    }  # fmt: skip
    for name in ("keys", "quarantine", "staging", "ledger"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o700
    (home.keys_dir / "statement.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="open to others"):
        home.signer()


def test_keys_can_be_encrypted_by_a_password_from_the_environment_or_a_file(tmp_path):
    environ = {"ZHIXIN_KEY_PASSWORD": "correct horse"}
    home = create_home(tmp_path / "h", "a.example", environ=environ)
    assert b"ENCRYPTED" in (home.keys_dir / "statement.pem").read_bytes()
    assert home.signer().public_key
    with pytest.raises(ConfigError, match="password"):
        Home.open(home.path, {}).signer()
    (tmp_path / "p").write_text("correct horse\n")
    file = {"ZHIXIN_KEY_PASSWORD_FILE": str(tmp_path / "p")}
    assert Home.open(home.path, file).signer().public_key == home.signer().public_key
    with pytest.raises(ConfigError, match="can't be read"):
        Home.open(home.path, {"ZHIXIN_KEY_PASSWORD_FILE": str(tmp_path / "none")}).signer()


def test_a_home_is_never_made_over_another(tmp_path):
    create_home(tmp_path / "h", "a.example")
    with pytest.raises(ConfigError, match="is a home already"):
        create_home(tmp_path / "h", "a.example")
    with pytest.raises(FormatError):
        create_home(tmp_path / "x", "Not A Name")


def test_a_folder_without_settings_is_no_home(tmp_path):
    with pytest.raises(ConfigError, match="is no member's home"):
        Home.open(tmp_path, {})
    with pytest.raises(ConfigError, match="is no member's home"):
        Home.open(None, {"ZHIXIN_HOME": str(tmp_path / "none")})
    (tmp_path / "zhixin.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="can't be read"):
        Home.open(tmp_path, {})


def test_addresses_are_looked_up_in_their_order_and_meant_from_the_home(tmp_path):
    home = create_home(tmp_path / "h", "a.example", environ={})
    sources = {"a": "silo/x.csv", "b": "sqlite:///silo/x.db", "c": "sqlite:////abs.db"}
    home = home.save(replace(home.settings, sources=sources, stores={"b.example": "../b/store"}))
    assert home.source_url("a") == str(home.path / "silo/x.csv")
    assert home.source_url("b") == f"sqlite:///{home.path / 'silo/x.db'}"
    assert home.source_url("c") == "sqlite:////abs.db"
    given = Home.open(home.path, {"ZHIXIN_SOURCES_A_URL": "e.csv"}, sources={"b": "g.csv"})
    assert (given.source_url("a"), given.source_url("b")) == ("e.csv", "g.csv")
    with pytest.raises(ConfigError, match="source d-1: no address; there is a, b, c") as caught:
        home.source_url("d-1")
    assert "ZHIXIN_SOURCES_D_1_URL in the environment" in caught.value.hint
    assert home.store_of("a.example") == str(home.store)
    assert home.store_of("b.example") == str(tmp_path / "b/store")
    with pytest.raises(ConfigError, match="nobody says"):
        home.store_of("c.example")
    for place in ("kept", "file:kept", f"file://{home.path}/kept"):
        named = Home.open(home.path, {"ZHIXIN_STORE": place})
        assert named.store == named.open_store().folder == home.path / "kept"


def test_a_home_without_a_ledger_says_so(tmp_path):
    home = create_home(tmp_path / "h", "a.example")
    assert home.ledger_view() is None
    with pytest.raises(ConfigError, match="names no ledger"):
        home.ledger_client()
    with pytest.raises(TrustError):
        home.trust()


def test_a_system_without_file_locks_is_told_what_it_can_do(tmp_path, monkeypatch):
    home = create_home(tmp_path / "h", "a.example")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ConfigError, match="no locks on files") as told, home.lock("a.example/x"):
        pass
    assert "Windows" in (told.value.hint or "")
    with pytest.raises(ConfigError, match="no locks on files"), exclusive(tmp_path / "lock", 0):
        pass


@pytest.mark.parametrize(("members", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 5), (10, 7)])
def test_the_smallest_quorum_is_the_rules_own(members, quorum):
    assert minimum_quorum(members) == quorum


def test_four_members_found_a_ledger_and_each_has_its_copy_and_trust(tmp_path):
    names = ["a.example", "b.example", "c.example", "d.example"]
    homes = [create_home(tmp_path / name, name, operator=name == names[2]) for name in names]
    settled = found(homes[2], homes, "ledger.example/1")
    trusts = {home.trust().fingerprint for home in settled}
    assert len(trusts) == 1
    for home in settled:
        view = home.ledger_view()
        assert (view.origin, view.state().size) == ("ledger.example/1", 2)
        assert list(view.state().members) == names
        assert home.trust().quorum(2) == 3
        assert {witness.name for witness in home.settings.witnesses} == set(names)
    with pytest.raises(ConfigError, match="already"):
        found(settled[2], settled, "ledger.example/1")


def test_only_a_founding_member_operates(tmp_path):
    homes = [create_home(tmp_path / name, f"{name}.example", operator=True) for name in "ab"]
    with pytest.raises(ConfigError, match="operator"):
        found(homes[0], homes[1:], "ledger.example/1")


def test_a_home_whose_path_holds_odd_characters_works(tmp_path):
    home = create_home(tmp_path / "家 %20 #1", "a.example", operator=True)
    (settled,) = found(home, [home], "ledger.example/1")
    assert Home.open(settled.path).ledger_client().sync().size == 2


def test_the_trust_of_a_home_moves_forward_along_its_own_copy_but_not_of_another_ledger(world):
    from zhixin_gateway import pipeline

    world.fill("stops", [("2024-01-02", "B", 10, "JFK")])
    pipeline.run(world.owner, world.stops())
    assert world.owner.pinned_trust().size == 2
    assert world.owner.trust().size == 6
    (world.other.trust_dir / "members.json").write_bytes(
        (world.owner.trust_dir / "members.json").read_bytes()
    )
    names = ["x.example"]
    alone = create_home(world.folder / "x", names[0], operator=True)
    (alone,) = found(alone, [alone], "ledger.gov.example/test")
    (world.owner.trust_dir / "members.json").write_bytes(
        (alone.trust_dir / "members.json").read_bytes()
    )
    assert world.owner.trust().size == 2


def test_keys_with_a_password_sign_in_a_ledger_on_this_machine(tmp_path):
    environs = {"a.gov.example": {"ZHIXIN_KEY_PASSWORD": "secret"}, "b.gov.example": {}}
    homes = [
        create_home(tmp_path / name, name, operator=not at, environ=environ)
        for at, (name, environ) in enumerate(environs.items())
    ]
    homes = found(homes[0], homes, "ledger.gov.example/2026")
    assert [home.trust().size for home in homes] == [2, 2]
    with homes[0].ledger_client() as client:
        assert client.refresh().size == 2
