from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "noise.bin"
    path.write_bytes(np.random.default_rng(3).bytes(1 << 10))
    return path
