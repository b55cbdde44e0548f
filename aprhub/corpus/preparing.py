"""Preparing: from files of text to sequences, tokenised once and kept."""

from collections.abc import Sequence
from pathlib import Path

from aprhub.corpus.cache import Recipe, kept
from aprhub.corpus.corpora import Corpus, corpus_of, part_of
from aprhub.corpus.documents import corpus_files, documents
from aprhub.corpus.encoding import Encoder
from aprhub.corpus.options import CorpusOptions
from aprhub.corpus.shards import ShardWriter
from aprhub.ir.tokenizer import Tokenizer


def prepared(
    sources: Sequence[Path], tokenizer: Tokenizer | None, options: CorpusOptions
) -> Corpus:
    """Return text, JSONL and Parquet files, or folders of them, as sequences.

    Texts are tokenised when no earlier call did so with the same files, tokenizer and
    options. Empty texts are no documents. Raises an InputError for files that cannot
    be read and text that fills no sequence, ModelCheckError for a tokenizer that is not
    there or does not fit.
    """
    files = corpus_files(sources)
    encoder = Encoder.of(tokenizer, options.separator, options.vocab_size)

    def fill(writer: ShardWriter) -> None:
        for file in files:
            texts = filter(None, documents(file, options.text_key))
            for text, ids in encoder.encoded(texts):
                writer.add(part_of(text, options), ids)

    told = {
        **encoder.told,
        "key": options.text_key,
        "split": [options.validation_fraction, options.seed],
    }
    recipe = Recipe(files, told, encoder.dtype, fill)
    return corpus_of(sources, kept(recipe, options.cache), options)
