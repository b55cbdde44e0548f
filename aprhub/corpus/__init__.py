"""Training data: texts as packed sequences of token ids, in memory-mapped files."""

from aprhub.corpus.chats import prepared_chats
from aprhub.corpus.corpora import Corpus
from aprhub.corpus.options import ChatOptions, CorpusOptions
from aprhub.corpus.preparing import prepared
from aprhub.corpus.sequences import Batch, Batches, Sequences
from aprhub.errors import CorpusExhausted

__all__ = [
    "Batch",
    "Batches",
    "ChatOptions",
    "Corpus",
    "CorpusExhausted",
    "CorpusOptions",
    "Sequences",
    "prepared",
    "prepared_chats",
]
