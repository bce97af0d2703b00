"""Sources in, Arrow record batches out, exact or refused: see :mod:`zhixin_connectors.protocol`."""
