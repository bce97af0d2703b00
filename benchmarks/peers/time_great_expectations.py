"""One pass of Great Expectations over the copy's Parquet: the contract's rules, counts alone."""

from __future__ import annotations

from typing import Any

import great_expectations as gx
import pandas as pd
from clock import measure
from great_expectations import expectations


def work(job: dict[str, Any]) -> dict[str, Any]:
    frame = pd.read_parquet(job["data"], dtype_backend="pyarrow")
    context: Any = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_pandas("flights")
    whole = source.add_dataframe_asset("flights").add_batch_definition_whole_dataframe("flights")
    suite = gx.ExpectationSuite(name="flights")
    for name, arguments in job["expectations"]:
        kind = "".join(word.capitalize() for word in name.split("_"))
        suite.add_expectation(getattr(expectations, kind)(**arguments))
    batch = whole.get_batch(batch_parameters={"dataframe": frame})
    found = batch.validate(suite, result_format="BOOLEAN_ONLY")
    broken = [each for each in found.results if each.exception_info.get("raised_exception")]
    if broken or not found.success:
        raise RuntimeError("the suite did not pass")
    return {"records": len(frame), "expectations": len(found.results)}


if __name__ == "__main__":
    measure(work)
