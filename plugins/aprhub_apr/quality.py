"""What a file answers to the questions of its quality, as the reference asks them.

The reference (`apr inspect --quality`) looks at the header and at the typed keys alone:
other spellings of a key do not count, and a tokenizer is what a flag of the header
says. A wrong checksum of the header costs points, where opening the file would fail.
"""

from pathlib import Path
from typing import Final

from aprhub.api import Answers
from aprhub_apr.container import surveyed
from aprhub_apr.tables import Flag

_PLACES: Final = {
    "physics": "header field checksum",
    "architecture": "architecture",
    "hidden_size": "hidden_size",
    "num_layers": "num_layers",
    "num_heads": "num_heads",
    "license": "license",
    "data_source": "data_source",
    "data_license": "data_license",
    "hf_class": "hf_architecture",
    "hf_model_type": "hf_model_type",
    "tokenizer": "header flag HAS_VOCAB",
}


def answers(path: Path) -> Answers:
    """Return what the header and the metadata of a file say.

    Raises CorruptFileError where they are not there to be read.
    """
    header, keys, is_sound = surveyed(path)
    said = {question: keys.get(key) for question, key in _PLACES.items()}
    said |= {"physics": is_sound, "tokenizer": Flag.HAS_VOCAB in header.flags}
    return Answers(said, _PLACES)
