"""Conversations as a model reads them: its chat template, and where its answers are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from aprhub.corpus.conversations import ANOTHER_TEMPLATE, ASSISTANT, Conversation
from aprhub.corpus.examples import Example
from aprhub.corpus.sandbox import CLOSED, FAILURES, OPENED, Sandbox
from aprhub.errors import ModelCheckError
from aprhub.ir.tokenizer import Tokenizer
from aprhub.tokenizer.fitting import SUBJECT

_MARKS: Final = re.compile(f"({re.escape(OPENED)}|{re.escape(CLOSED)})")


@frozen
class ChatTemplate:
    """A model's chat template, with the special tokens that it may name.

    `specials` are those that can end an answer.
    """

    source: str = field(repr=False)
    sandbox: Sandbox = field(repr=False)
    names: Mapping[str, str]
    specials: tuple[str, ...]
    is_marked: bool

    @classmethod
    def of(
        cls, tokenizer: Tokenizer, names: Mapping[str, str], specials: Sequence[str]
    ) -> "ChatTemplate":
        """Return a model's template; raises ModelCheckError for none and a broken one.

        `names` are the words for special tokens in templates, such as `bos_token`.
        """
        source = tokenizer.chat_template
        if source is None:
            raise ModelCheckError(
                SUBJECT,
                "the model has no chat template; give it one with 'aprhub stamp"
                " --chat-template'",
            )
        try:
            sandbox = Sandbox(source)
        except FAILURES as error:
            raise ModelCheckError(
                SUBJECT,
                f"its chat template is none: {error}; give it another with 'aprhub"
                " stamp --chat-template'",
            ) from error
        marked = re.search(r"\{%[-+]?\s*generation\b", source) is not None
        return cls(source, sandbox, names, tuple(specials), marked)

    def examples(self, conversation: Conversation) -> Iterator[Example]:
        """Yield the texts to learn from in a conversation.

        A template that marks its answers gives one text. Otherwise an answer is what
        its message adds to the text that asks for it, up to the token that ends it; a
        later answer is learnt in the same text, where that only goes on. Some templates
        render an answer of the past otherwise than the last one: then each is learnt
        in a text of its own, as the model will be asked for it.

        Raises CorruptFileError where the template refuses the conversation.
        """
        if self.is_marked:
            yield _marked(self._rendered(conversation, len(conversation.messages)))
            return
        found = Example("", ())
        for place, message in enumerate(conversation.messages):
            if message["role"] != ASSISTANT:
                continue
            asked = self._rendered(conversation, place, asks=True)
            if not asked.startswith(found.text):
                yield found
                found = Example("", ())
            found = self._extended(found, conversation, place, asked)
        yield found

    def _extended(
        self, found: Example, conversation: Conversation, place: int, asked: str
    ) -> Example:
        text = self._rendered(conversation, place + 1)
        if not text.startswith(asked):
            what = "the model's chat template begins an answer otherwise than it asks"
            begun = f"{what} for one: {text[len(found.text) :]!r:.60}"
            raise conversation.record.fault(begun, ANOTHER_TEMPLATE)
        ended = text.rstrip()
        end = len(ended) if ended.endswith(self.specials) else len(text)
        return Example(text, (*found.answers, (len(asked), end)))

    def _rendered(
        self, conversation: Conversation, count: int, *, asks: bool = False
    ) -> str:
        """Return the text of the first messages; `asks` lets an answer begin."""
        values: dict[str, Any] = {
            **self.names,
            "messages": conversation.messages[:count],
            "tools": conversation.tools,
            "documents": None,
            "add_generation_prompt": asks,
        }
        try:
            text = self.sandbox.rendered(values)
            text.encode()  # one half of a surrogate pair is no character
        except FAILURES as error:
            what = f"the model's chat template refuses it: {error}"
            raise conversation.record.fault(what) from error
        return text


def _marked(rendered: str) -> Example:
    """Return a text without the marks in it, and what stood between them."""
    text, start = "", 0
    answers: list[tuple[int, int]] = []
    for part in _MARKS.split(rendered):
        if part == OPENED:
            start = len(text)
        elif part == CLOSED:
            answers.append((start, len(text)))
        else:
            text += part
    return Example(text, tuple(answers))
