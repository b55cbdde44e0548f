"""How the whole suite runs."""

import gc
import signal
from contextlib import suppress

from hypothesis import settings

# Vocabularies are millions of objects without a cycle; looking through them again and
# again is a quarter of the suite's time.
gc.set_threshold(200_000)

# A shell has SIGINT ignored in what it starts in the background, and so would every
# program that a test starts; those that test signals expect them to arrive.
with suppress(ValueError):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

# A change is judged by the same examples as the one before it; `make test-all` looks
# for others. How long an example takes is the machine's affair.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=500, deadline=None)
settings.load_profile("suite")
