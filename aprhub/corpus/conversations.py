"""Conversations: messages with roles, from records in several spellings."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from aprhub.corpus.records import Record, text_of

ASSISTANT: Final = "assistant"

ANOTHER_TEMPLATE: Final = "give the model another with 'aprhub stamp --chat-template'"
"""What to do where a conversation is not what is wrong, but the model's template."""

_FORM: Final = "write objects of role and content"
_PAIRS: Final = (("prompt", "completion"), ("instruction", "output"))

Message = Mapping[str, Any]
"""A message as templates see it: `role`, `content`, and whatever else it has."""


@frozen
class Conversation:
    """Messages, at least one of them an assistant's, and the tools that it may use."""

    record: Record
    messages: Sequence[Message]
    tools: Any = None


def conversation(record: Record) -> Conversation:
    """Return the conversation of a record.

    It has `messages` of `role` and `content`, or a pair `prompt` and `completion`, or
    `instruction` and `output`, maybe with `input`. Raises CorruptFileError for others,
    and for one that no assistant says anything in.
    """
    messages = _messages(record)
    if not any(each["role"] == ASSISTANT for each in messages):
        what = "no message is an assistant's: nothing can be learnt"
        raise record.fault(what, "leave it out, or write the answer")
    return Conversation(record, messages, record.values.get("tools"))


def _messages(record: Record) -> Sequence[Message]:
    if "messages" in record.values:
        return _checked(record, record.values["messages"])
    for question, answer in _PAIRS:
        if question in record.values:
            asked = text_of(record, question)
            given = text_of(record, "input") if record.values.get("input") else ""
            asked = f"{asked}\n\n{given}" if given else asked
            return (
                {"role": "user", "content": asked},
                {"role": ASSISTANT, "content": text_of(record, answer)},
            )
    known = "messages, prompt and completion, or instruction and output"
    listed = ", ".join(record.values) or "none"
    raise record.fault(f"no conversation (keys: {listed:.80}); expected {known}")


def _checked(record: Record, messages: Any) -> Sequence[Message]:
    if not isinstance(messages, list):
        what = f"messages are {messages!r:.40}, expected a list of objects"
        raise record.fault(what, _FORM)
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            what = f"message {number} is {message!r:.40}, expected an object"
            raise record.fault(what, _FORM)
        within = Record(record.file, record.line, message)
        text_of(within, "role")
        # One that calls tools may say nothing besides.
        if "tool_calls" not in message or message.get("content") is not None:
            text_of(within, "content")
    return messages
