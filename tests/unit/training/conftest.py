"""One thread for each test: several would wait for each other; and two processes."""

from collections.abc import Iterator

import pytest
import torch

from tests.unit.training.together import Pool, two_processes


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def pool() -> Iterator[Pool]:
    """Give two processes, which take two seconds to start."""
    with two_processes() as pool:
        yield pool
