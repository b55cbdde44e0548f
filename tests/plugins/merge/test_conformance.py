"""The first-party methods pass the suite that outside plugins are held to."""

import pytest

from aprhub.api import MergeMethod
from aprhub.testing.merging import MergeConformance
from tests.plugins.merge.groups import REGISTRY

METHODS = [each.value for each in REGISTRY.methods]


class TestMethods(MergeConformance):
    @pytest.fixture(params=METHODS, ids=lambda method: method.name)
    def method(self, request: pytest.FixtureRequest) -> MergeMethod:
        found: MergeMethod = request.param
        return found
