import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import ConfigError
from zhixin_gateway.settings import (
    Settings,
    WitnessSetting,
    format_settings,
    parse_settings,
    secret_from_environment,
    source_from_environment,
    with_environment,
)

TEXT = st.text(max_size=30)
SETTINGS = st.builds(
    Settings,
    member=TEXT,
    titles=st.dictionaries(TEXT, TEXT, max_size=3),
    ledger_url=TEXT,
    witnesses=st.lists(st.builds(WitnessSetting, TEXT, TEXT), max_size=3).map(tuple),
    sources=st.just({}),
    stores=st.dictionaries(TEXT, TEXT, max_size=3),
    second_opinion=st.sampled_from(["stop", "warn"]),
    store=TEXT,
    quarantine=TEXT,
)


@given(settings=SETTINGS)
def test_what_is_written_is_read_again(settings):
    assert parse_settings(format_settings(settings), "zhixin.toml") == settings


def test_a_source_keeps_its_options():
    text = (
        'member = "a.example"\n[sources.silo]\nurl = "silo.csv"\nnull = ["NA", "-"]\n'
        'nullQuoted = true\n[sources.api]\nurl = "http://h"\nauth = "bearer"\ntries = 3\n'
        '[sources.beads]\nurl = "abacus://x"\nrods = 13\n'
    )
    settings = parse_settings(text, "zhixin.toml")
    assert settings.sources["silo"] == "silo.csv"
    assert settings.source_options == {
        "silo": {"null": ("NA", "-"), "nullQuoted": True},
        "api": {"auth": "bearer", "tries": 3},
        "beads": {"rods": 13},
    }
    assert parse_settings(format_settings(settings), "zhixin.toml") == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("member = ", "not TOML"),
        ("", "member is missing"),
        ("member = 5", "member is a text"),
        ('member = "a"\ncolour = "red"', "nobody knows: colour"),
        ('member = "a"\nsecond_opinion = "maybe"', '"stop" or "warn"'),
        ('member = "a"\nwitnesses = "b"', "list of tables"),
        ('member = "a"\n[[witnesses]]\nname = "b"', "name and url"),
        ('member = "a"\n[sources.s]\nnull = "x"', "has no url"),
        ('member = "a"\n[stores]\nb = 5', "is a text"),
        ('member = "a"\nledger = "x"', "is a table"),
        ('member = "a"\n[sources.s]\nurl = "pg://u:hunter2@h/d"', "holds a password or key"),
        ('member = "a"\n[sources.s]\nurl = "http://h/d?x=1&api_key=hunter2"', "password or key"),
        ('member = "a"\n[sources.s]\nurl = "pg://h/d?password=hunter2"', "password or key"),
        ('member = "a"\n[sources.s]\nurl = "pg://[u@h/d"', "is no address"),
        ('member = "a"\n[sources.s]\nurl = 5', "sources.s.url is a text"),
        ('member = "a"\n[sources.s]\nurl = "a.csv"\nnul = "NA"', "s: unknown source option"),
        ('member = "a"\n[sources.s]\nurl = "a.csv"\nnull = [5]', "sources.s.null is a text"),
        ('member = "a"\n[sources.s]\nurl = "a.csv"\nauth = "basic"', "unknown source option"),
        ('member = "a"\n[sources.s]\nurl = "http://h"\nauth = "magic"', "s: auth must be one"),
        ('member = "a"\n[sources.s]\nurl = "http://h"\ntries = 0', "a whole number from 1"),
        ('member = "a"\n[sources.s]\nurl = "x:y"\nPassword = "hunter2"', "a secret has no place"),
    ],
)
def test_refuses_what_it_does_not_understand_and_never_repeats_a_secret(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "zhixin.toml")
    assert message in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.exit_code == 2


def test_the_environment_has_the_last_word(tmp_path):
    text = 'member = "a"\n[ledger]\nurl = "file:x"\n[sources.my-silo]\nurl = "x.csv"\n'
    settings = with_environment(
        parse_settings(text, "zhixin.toml"),
        {
            "ZHIXIN_SECOND_OPINION": "warn",
            "ZHIXIN_LEDGER_URL": "file:y",
            "ZHIXIN_STORE": "/data/store",
            "ZHIXIN_QUARANTINE": "/data/q",
            "ZHIXIN_SOURCES_MY_SILO_URL": "pg://u:secret@h/d",
        },
    )
    assert (settings.second_opinion, settings.ledger_url) == ("warn", "file:y")
    assert (settings.store, settings.quarantine) == ("/data/store", "/data/q")
    assert settings.sources == {"my-silo": "pg://u:secret@h/d"}
    with pytest.raises(ConfigError):
        with_environment(settings, {"ZHIXIN_SECOND_OPINION": "maybe"})


def test_an_address_comes_from_a_file_or_from_airflow_too(tmp_path):
    file = tmp_path / "url"
    file.write_text("pg://u:secret@h/d\n")
    assert source_from_environment("s", {"ZHIXIN_SOURCES_S_URL_FILE": str(file)}) == (
        "pg://u:secret@h/d"
    )
    assert source_from_environment("s", {"AIRFLOW_CONN_S": "postgres://x/y"}) == "postgres://x/y"
    assert source_from_environment("s", {}) is None
    with pytest.raises(ConfigError):
        source_from_environment("s", {"ZHIXIN_SOURCES_S_URL_FILE": str(tmp_path / "none")})


def test_a_secret_comes_from_the_environment_or_a_file_and_names_neither(tmp_path):
    file = tmp_path / "token"
    file.write_text("hunter2\n")
    assert secret_from_environment("my-api", {"ZHIXIN_SOURCES_MY_API_SECRET": "s"}) == "s"
    named = {"ZHIXIN_SOURCES_S_SECRET_FILE": str(file), "ZHIXIN_SOURCES_S_SECRET": "other"}
    assert secret_from_environment("s", named) == "hunter2"
    assert secret_from_environment("s", {}) is None
    with pytest.raises(ConfigError, match="ZHIXIN_SOURCES_S_SECRET_FILE can't be read"):
        secret_from_environment("s", {"ZHIXIN_SOURCES_S_SECRET_FILE": str(tmp_path / "none")})
