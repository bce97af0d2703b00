"""Contracts: the ODCS model and what is compiled from it.

Begin with :mod:`zhixin_schemas.loader` (bytes → ``Contract``), then :mod:`zhixin_schemas.compile`
(``Contract`` → Arrow masks) and :mod:`zhixin_schemas.suite` (``Contract`` → Great Expectations).
"""
