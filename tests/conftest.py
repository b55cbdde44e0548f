"""How the whole suite runs."""

import gc

from hypothesis import settings

# Vocabularies are millions of objects without a cycle; looking through them again and
# again is a quarter of the suite's time.
gc.set_threshold(200_000)

# How long an example takes is the machine's affair.
settings.register_profile("suite")
settings.load_profile("suite")
