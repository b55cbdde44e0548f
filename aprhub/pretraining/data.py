"""Data: what a run is trained on, and measured with, as sequences of token ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from aprhub.corpus import ChatOptions, Corpus, CorpusOptions, prepared, prepared_chats
from aprhub.errors import UsageError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.pretraining.gates import refuse_short_corpus
from aprhub.pretraining.options import TrainingOptions
from aprhub.pretraining.start import Start


def corpus_of(
    start: Start, options: TrainingOptions
) -> tuple[Corpus, Mapping[str, str]]:
    """Return the data to train on and to measure with, and what tells them from others.

    The data `validation` take the place of the part that is else kept apart. Raises
    UsageError where sequences are longer than the model takes, or too few.
    """
    config = start.model.config
    context = config.max_position_embeddings or 0
    if options.seq_len > context:
        raise UsageError(
            f"the model is made for {context} tokens, not for {options.seq_len}; use"
            " shorter sequences (--seq-len)"
        )
    wanted, tokenizer = options.sequences(config.vocab_size), start.tokenizer
    if options.validation:
        wanted = evolve(wanted, validation_fraction=0)
    corpus = _prepared(options.dataset, tokenizer, wanted)
    refuse_short_corpus(corpus.train, options)
    told = {"data": corpus.fingerprint}
    if not options.validation:
        return corpus, told
    other = _prepared(options.validation, tokenizer, wanted)
    told["validation"] = other.fingerprint
    return evolve(corpus, validation=other.train), told


def _prepared(
    sources: Sequence[Path], tokenizer: Tokenizer, wanted: CorpusOptions | ChatOptions
) -> Corpus:
    if isinstance(wanted, ChatOptions):
        return prepared_chats(sources, tokenizer, wanted)
    return prepared(sources, tokenizer, wanted)
