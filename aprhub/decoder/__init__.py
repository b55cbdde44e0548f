"""Runs models: one decoder for all families that are made of its parts.

Everything here needs torch, which comes with an extra; nothing else of aprhub does.
"""

from aprhub.errors import EnvironmentFailureError

try:
    import torch  # noqa: F401  # whether it is there is all that is asked here
except ModuleNotFoundError as error:
    raise EnvironmentFailureError(
        "running a model needs torch: pip install 'aprhub[train]'"
    ) from error
