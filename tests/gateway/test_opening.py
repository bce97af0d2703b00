"""Opening a dataset by its name where no home is known."""

from __future__ import annotations

import pytest
import zhixin_gateway
from zhixin_errors import ConfigError


def test_a_name_without_a_home_is_told_both_ways_to_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZHIXIN_HOME", raising=False)
    with pytest.raises(ConfigError, match="only a home can find") as caught:
        zhixin_gateway.open("a.example/things")
    assert caught.value.hint == "give home=… or set ZHIXIN_HOME"
