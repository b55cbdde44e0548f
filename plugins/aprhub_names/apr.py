"""Names of APR files: those that the programs which run them look up.

They are those of `hf` for most families, with one tensor for each projection and each
expert, whatever the family: nothing is fused or stacked. What a family's `hf` names
are besides is read. The programs apply no offset to norm weights, so the architecture's
own offset is part of what is stored.
"""

from typing import Final

from aprhub.api import Naming
from aprhub_names.hf import (
    EXPERTS,
    FUSED,
    MIXTRAL_EXPERTS,
    RULES,
    SANDWICH_NORMS,
    STACKED_EXPERTS,
)
from aprhub_names.transforms import NORM_PLUS_ONE

APR: Final = Naming(
    "apr",
    (*RULES, *EXPERTS, *FUSED, *MIXTRAL_EXPERTS, *STACKED_EXPERTS),
    dict.fromkeys(("gemma2", "gemma3"), SANDWICH_NORMS),
    adjustments=(NORM_PLUS_ONE,),
)
