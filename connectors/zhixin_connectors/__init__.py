"""Sources in, Arrow record batches out: exact or refused. Begin at :mod:`zhixin_connectors.protocol`."""
