"""Chats: from files of conversations to sequences whose answers are to be learnt."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from aprhub.corpus.cache import Recipe, kept
from aprhub.corpus.conversations import (
    ANOTHER_TEMPLATE,
    Conversation,
    conversation,
)
from aprhub.corpus.corpora import Corpus, corpus_of, part_of
from aprhub.corpus.documents import RECORDS, corpus_files
from aprhub.corpus.encoding import refuse_outside
from aprhub.corpus.examples import Marked, Rows, marked
from aprhub.corpus.options import ChatOptions
from aprhub.corpus.records import records
from aprhub.corpus.shards import MARKED, PARTS, ShardWriter
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.parity import loaded_program
from aprhub.tokenizer.plain import required

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Program

    from aprhub.corpus.templates import ChatTemplate


def prepared_chats(
    sources: Sequence[Path], tokenizer: Tokenizer | None, options: ChatOptions
) -> Corpus:
    """Return the conversations of JSONL files, or folders of them, as sequences.

    They are rendered with the model's chat template; only answers have targets. The
    corpus says how many examples were too long, and cut or dropped. It is kept as
    `prepared` keeps one, and fails as that does. Raises CorruptFileError for a record
    that is no conversation or that the template refuses, EnvironmentFailureError
    without jinja2.
    """
    files = corpus_files(sources, RECORDS)
    teacher = _Teacher.of(required(tokenizer), options)

    def fill(writer: ShardWriter) -> None:
        rows = {part: Rows(part, writer, options, teacher.padding) for part in PARTS}
        for file in files:
            for record in records(file):
                teacher.teach(conversation(record), rows, writer)
        for each in rows.values():
            each.finish()

    recipe = Recipe(files, teacher.told, MARKED, fill)
    return corpus_of(sources, kept(recipe, options.cache), options, marked=True)


@frozen
class _Teacher:
    """Turns conversations into rows, in the words of one model."""

    template: "ChatTemplate"
    program: "Program" = field(repr=False)
    padding: int
    options: ChatOptions

    @classmethod
    def of(cls, tokenizer: Tokenizer, options: ChatOptions) -> "_Teacher":
        from tokenizers.processors import ByteLevel

        from aprhub.corpus.templates import ChatTemplate

        program = loaded_program(tokenizer)
        # Templates write special tokens themselves. What is left for this step to do
        # is to leave spaces out of offsets, and they are part of an answer.
        program.post_processor = ByteLevel(trim_offsets=False)
        added = program.get_added_tokens_decoder().values()
        specials = [each.content for each in added if each.special]
        ids = tokenizer.special_ids
        tokens = {role: program.id_to_token(number) for role, number in ids.items()}
        names = {f"{role}_token": token for role, token in tokens.items() if token}
        template = ChatTemplate.of(tokenizer, names, specials)
        padding = ids.get("pad", ids.get("eos", 0))
        return cls(template, program, padding, options)

    @property
    def told(self) -> dict[str, Any]:
        """All that decides about rows."""
        asked = self.options
        return {
            "tokenizer": self.program.to_str(),
            "template": [self.template.source, dict(self.template.names), self.padding],
            "rows": [asked.seq_len, asked.too_long, asked.packed],
            "split": [asked.validation_fraction, asked.seed],
        }

    def teach(
        self, found: Conversation, rows: dict[str, Rows], writer: ShardWriter
    ) -> None:
        """Put a conversation into rows; all that is learnt of it is in one part."""
        text = json.dumps(found.messages, sort_keys=True)
        part = part_of(text, self.options)
        for example in self._fitting(found, writer):
            rows[part].add(example)

    def _fitting(self, found: Conversation, writer: ShardWriter) -> Iterator[Marked]:
        """Yield the examples of a conversation that fit into a row; count the others.

        One of whose answer nothing is left after cutting is dropped.
        """
        limit = self.options.seq_len + 1
        for example in self.template.examples(found):
            whole = marked(example, self.program)
            if not whole.learnt.any():
                what = "the model's chat template marks no answer in it"
                raise found.record.fault(what, ANOTHER_TEMPLATE)
            refuse_outside(int(whole.ids.max()), self.options.vocab_size)
            fitting = whole.until(limit)
            if whole.ids.size <= limit:
                yield whole
            elif self.options.too_long == "cut" and fitting.learnt.any():
                writer.cut += 1
                yield fitting
            else:
                writer.dropped += 1
