"""Trains the decoder; nothing here knows where model and text come from.

Everything here needs torch, which comes with an extra.
"""

import aprhub.decoder  # noqa: F401  # says what to install where torch is missing
