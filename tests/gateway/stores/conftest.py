"""Stores on a server that speaks S3, and one before it that breaks."""

import pytest
from zhixin_gateway.stores.objects import Objects

from tests.gateway.stores.breaking import Breaking


@pytest.fixture
def objects(s3_url):
    return Objects.at(s3_url)


@pytest.fixture
def breaking(s3_port):
    """A server before the S3 server; its ``faults`` break requests."""
    with Breaking(s3_port) as server:
        yield server


@pytest.fixture
def broken_url(breaking, s3_url, s3_port):
    """The store's address by the way of the server that breaks."""
    return s3_url.replace(f":{s3_port}", f":{breaking.port}")
