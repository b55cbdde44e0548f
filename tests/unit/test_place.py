"""Which process this is, by what torchrun says in the environment."""

import pytest

from aprhub.errors import UsageError
from aprhub.place import Place

TOLD = {
    "RANK": "9",
    "WORLD_SIZE": "16",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "first",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_a_process_by_itself_is_the_first(environment: dict[str, str]) -> None:
    found = Place.found(environment)

    assert found == Place(rank=0, world=1, local_rank=0)
    assert found.is_first


def test_torchrun_says_which_process_this_is() -> None:
    found = Place.found(TOLD)

    assert found == Place(rank=9, world=16, local_rank=1)
    assert not found.is_first


@pytest.mark.parametrize(
    "told",
    [
        {"RANK": ""},
        {"LOCAL_RANK": ""},
        {"MASTER_ADDR": ""},
        {"WORLD_SIZE": "two"},
        {"RANK": "16"},
        {"RANK": "-1"},
    ],
)
def test_half_a_place_is_refused(told: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="start them with torchrun"):
        Place.found({**TOLD, **told})
