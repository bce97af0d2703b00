"""A home made by the command line itself, and a table for it."""

import json

import pytest
from zhixin_gateway import cli

CSV = '''id,day,name,amount
1,2024-01-01,"a ""b""",5.25
2,,x,
3,2024-03-01,,7.00
'''


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def zhixin(capsys, monkeypatch, tmp_path):
    """Run a command in this process; the working folder is fresh."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZHIXIN_HOME", raising=False)
    monkeypatch.delenv("ZHIXIN_DEBUG", raising=False)

    def run(*arguments, home=None):
        if home is not None:
            arguments = ("--home", str(home), *arguments)
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        assert "Traceback" not in caught.err
        return Answer(code, caught.out, caught.err)

    return run


@pytest.fixture
def agency(zhixin, tmp_path):
    """The home of agency.example with a contract for a CSV, not yet run."""
    assert zhixin("init", "agency.example", "--title", "An agency").code == 0
    (tmp_path / "things.csv").write_text(CSV)
    home = tmp_path / "agency.example"
    inferred = zhixin("source", "infer", "things.csv", "things.csv", home=home)
    assert inferred.code == 0, inferred.err
    contract = home / "contracts" / "things.odcs.yaml"
    contract.write_text(inferred.out)
    return home


@pytest.fixture
def published(zhixin, agency):
    """The same home with things@1."""
    answer = zhixin("run", agency / "contracts/things.odcs.yaml", home=agency)
    assert answer.code == 0, answer.err
    return agency
