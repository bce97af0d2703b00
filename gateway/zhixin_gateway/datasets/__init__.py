"""Datasets' insides: types, canonical records, record trees, manifests, parts and directories.

Everything here is a form of docs/formats.md (sections 2.1 to 2.3) and knows neither ledger engines
nor sources. No module but :mod:`~zhixin_gateway.datasets.parquet` opens a part.
"""
