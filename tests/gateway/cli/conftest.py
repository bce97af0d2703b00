"""A home made by the command line itself, and a table for it."""

import pytest

CSV = '''id,day,name,amount
1,2024-01-01,"a ""b""",5.25
2,,x,
3,2024-03-01,,7.00
'''


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
