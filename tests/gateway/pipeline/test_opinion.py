"""The second opinion stops a version that the engine alone would have let pass."""

import io

import pytest
from zhixin_errors import ValidationRefused
from zhixin_gateway import pipeline
from zhixin_gateway.airflow import steps
from zhixin_gateway.datasets import directory
from zhixin_gateway.pipeline import extraction, opinion
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.progress import LogProgress

ROWS = [
    ("2024-01-02", "A", 10, "JFK"),
    ("2024-01-02", "B", 900, "JFK"),
    ("2024-01-03", "A", None, None),
    ("2024-01-04", "A", "many", None),
    ("2024-01-05", "A", 1, None),
    ("2024-01-05", "A", 2, None),
]


def _without_range(genuine):
    """The engine's rules, one of them lost."""

    def compiling(contract, late=()):
        from zhixin_schemas.compile import RuleSet

        rules = genuine(contract, late)
        return RuleSet(contract, [rule for rule in rules.rules if rule.name != "seats.range"])

    return compiling


def test_both_engines_count_the_same_and_the_version_is_published(world):
    world.fill("stops", ROWS)
    result = pipeline.run(world.owner, world.stops(), report=True)
    assert (result.version, result.quarantined) == (1, 4)
    (report,) = world.owner.reports.glob("*/*/*/index.html")
    assert report.stat().st_size > 0
    assert world.owner.reports.joinpath("bts.gov.example/stops").exists()


def test_a_lost_rule_stops_the_run_at_the_second_opinion(world, monkeypatch):
    world.fill("stops", ROWS)
    monkeypatch.setattr(extraction, "compile_rules", _without_range(extraction.compile_rules))
    said = io.StringIO()
    with pytest.raises(ValidationRefused) as caught:
        pipeline.run(world.owner, world.stops(), report=True, progress=LogProgress(said))
    assert "its rejects: zhixin quarantine show bts.gov.example/stops@attempt" in said.getvalue()
    assert caught.value.code == "second-opinion"
    assert "seats.range" in caught.value.message
    assert directory.list_versions(world.owner.store, "bts.gov.example/stops") == []
    assert not list(world.owner.staging.glob("*/*"))
    assert (world.owner.quarantine / "bts.gov.example/stops/attempt.parquet").is_file()


def test_a_task_keeps_the_rejects_too_and_disturbs_no_other(world, monkeypatch, capsys):
    home, path = str(world.owner.path), str(world.stops())
    world.fill("stops", ROWS)
    monkeypatch.setattr(extraction, "compile_rules", _without_range(extraction.compile_rules))
    staged = steps.extract_and_validate(home, path, "run")
    with pytest.raises(ValidationRefused):
        steps.second_opinion(home, staged)
    assert "zhixin quarantine show bts.gov.example/stops@attempt" in capsys.readouterr().out
    kept = world.owner.quarantine / "bts.gov.example/stops/attempt.parquet"
    assert kept.samefile(Work(world.owner, "bts.gov.example/stops").quarantine)
    assert [path.name for path in kept.parent.iterdir() if path.name.startswith(".")] == []
    assert steps.write(home, staged)["root"]  # runs beside it


def test_where_the_setting_says_warn_it_is_told_and_the_version_goes_on(world, monkeypatch):
    from dataclasses import replace

    from zhixin_gateway.progress import NullProgress

    class Listening(NullProgress):
        def __init__(self):
            self.told = []

        def warn(self, text):
            self.told.append(text)

    world.fill("stops", ROWS)
    monkeypatch.setattr(extraction, "compile_rules", _without_range(extraction.compile_rules))
    home = world.owner.save(replace(world.owner.filed_settings(), second_opinion="warn"))
    progress = Listening()
    assert pipeline.run(home, world.stops(), report=True, progress=progress).version == 1
    assert any("seats.range" in text for text in progress.told)


def test_no_input_is_kept_where_no_opinion_is_asked_for(world):
    world.fill("stops", ROWS)
    staged = pipeline.extract(world.owner, world.stops())
    with pytest.raises(Exception, match="were kept"):
        opinion.second_opinion(world.owner, staged)


EXTERNAL = """      - {{type: custom, engine: greatExpectations, name: few-lines,
         severity: {severity},
         implementation: {{expectation: expect_column_values_to_be_in_set,
         arguments: {{column: line, value_set: [{lines}]}}}}}}"""


def test_a_rule_that_only_the_second_engine_knows_joins_the_quality(world):
    from zhixin_gateway.datasets.manifest import parse_manifest

    world.fill("stops", ROWS)
    quality = EXTERNAL.format(severity="warning", lines="A")
    result = pipeline.run(world.owner, world.stops(quality=quality), report=True)
    told = {rule["rule"]: rule for rule in result.rules}["few-lines"]
    assert (told["severity"], told["failed"]) == ("warning", 1)
    path = directory.version_path(world.owner.store, "bts.gov.example/stops", 1)
    manifest = parse_manifest((path / "manifest.json").read_bytes())
    assert "few-lines" in [item.rule for item in manifest.quality]


def test_and_stops_the_version_where_it_is_critical_and_broken(world):
    world.fill("stops", ROWS)
    quality = EXTERNAL.format(severity="critical", lines="A")
    with pytest.raises(ValidationRefused) as caught:
        pipeline.run(world.owner, world.stops(quality=quality), report=True)
    assert caught.value.code == "critical-rule"
    assert "few-lines" in caught.value.message
