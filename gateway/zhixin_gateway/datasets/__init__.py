"""Datasets' insides: types, canonical records, record trees, manifests, parts and directories.

Everything here is a form of docs/formats.md (section 3.1 to 3.3) and knows neither ledger engines
nor sources. No module but :mod:`~zhixin_gateway.datasets.parquet` opens a part.
"""
