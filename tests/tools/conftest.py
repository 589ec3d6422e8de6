"""The small trained work root that the tests of identification share."""

import pytest
from small_root import build_once, make_root

from whales.nets.net import Net


@pytest.fixture(scope="module")
def trained_root(tmp_path_factory):
    """A work root whose v5 net has random weights for folds 0 and 2."""
    return make_root(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def small_nets(monkeypatch):
    """Nets are built once for all tests."""
    monkeypatch.setattr(Net, "network", build_once)
