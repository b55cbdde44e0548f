"""Names of APR files: those of `hf`, with norm weights as they are multiplied.

Programs that run APR files apply no offset to norm weights, so the architecture's own
offset is part of what is stored.
"""

from typing import Final

from aprhub.api import Naming
from aprhub_names.hf import FAMILIES, RULES
from aprhub_names.transforms import NORM_PLUS_ONE

APR: Final = Naming("apr", RULES, FAMILIES, adjustments=(NORM_PLUS_ONE,))
