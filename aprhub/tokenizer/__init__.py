"""Converts between the two forms of a tokenizer.

Names are loaded when they are first used: most roads need few of them.
"""

from typing import TYPE_CHECKING, Final

from aprhub.deferred import deferred

if TYPE_CHECKING:
    from aprhub.tokenizer.added import completed_program
    from aprhub.tokenizer.assembling import assembled
    from aprhub.tokenizer.consistency import disagreements, refuse_broken_program
    from aprhub.tokenizer.describing import described, described_pieces
    from aprhub.tokenizer.flattening import flattened
    from aprhub.tokenizer.folders import read_folder
    from aprhub.tokenizer.parity import same_ids, token_ids
    from aprhub.tokenizer.pretokenizers import same_split
    from aprhub.tokenizer.probes import PROBES
    from aprhub.tokenizer.sentencepiece import read_sentencepiece
    from aprhub.tokenizer.skeletons import restored, skeleton
    from aprhub.tokenizer.vocabulary_files import joined_files

_HOMES: Final = {
    "PROBES": "aprhub.tokenizer.probes",
    "assembled": "aprhub.tokenizer.assembling",
    "completed_program": "aprhub.tokenizer.added",
    "described": "aprhub.tokenizer.describing",
    "described_pieces": "aprhub.tokenizer.describing",
    "disagreements": "aprhub.tokenizer.consistency",
    "flattened": "aprhub.tokenizer.flattening",
    "joined_files": "aprhub.tokenizer.vocabulary_files",
    "read_folder": "aprhub.tokenizer.folders",
    "read_sentencepiece": "aprhub.tokenizer.sentencepiece",
    "refuse_broken_program": "aprhub.tokenizer.consistency",
    "restored": "aprhub.tokenizer.skeletons",
    "same_ids": "aprhub.tokenizer.parity",
    "same_split": "aprhub.tokenizer.pretokenizers",
    "skeleton": "aprhub.tokenizer.skeletons",
    "token_ids": "aprhub.tokenizer.parity",
}

__all__ = [
    "PROBES",
    "assembled",
    "completed_program",
    "described",
    "described_pieces",
    "disagreements",
    "flattened",
    "joined_files",
    "read_folder",
    "read_sentencepiece",
    "refuse_broken_program",
    "restored",
    "same_ids",
    "same_split",
    "skeleton",
    "token_ids",
]

__getattr__ = deferred(__name__, _HOMES)
