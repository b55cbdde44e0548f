"""What a post-processor puts around the text: the tokens in front, behind, between."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from aprhub.tokenizer.document import Document, fault

Step = Mapping[str, Any]
Named = tuple[str, int]


@frozen
class Frame:
    """The special tokens around one text and between two, by content.

    `around` are all those around one text, of which the flags of a flat vocabulary say
    no more than the `first` and the `last`. `silent` is True when the post-processor
    says that nothing is put around, and None when there is none that says anything.
    """

    first: str | None = None
    last: str | None = None
    between: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    silent: bool | None = None


def frame_of(document: Document) -> Frame:
    """Read the post-processor of a document."""
    steps = document.steps("post_processor")
    for step in steps:
        if step["type"] in _READERS:
            return _READERS[step["type"]](step)
    return Frame(silent=any(step["type"] == "ByteLevel" for step in steps) or None)


def post_processor(
    before: Named | None, after: Named | None, *, begins_twice: bool = True
) -> Step | None:
    """Return the step that puts tokens, given with their ids, around a text.

    Where two texts are given, the second has the token in front only when the model
    `begins_twice`.
    """
    if before is None and after is None:
        return None
    head, tail = ([each[0]] if each else [] for each in (before, after))
    again = head if begins_twice else []
    return {
        "type": "TemplateProcessing",
        "single": _framed(head, "A", tail, 0),
        "pair": [*_framed(head, "A", tail, 0), *_framed(again, "B", tail, 1)],
        "special_tokens": {
            content: {"id": content, "ids": [number], "tokens": [content]}
            for content, number in filter(None, (before, after))
        },
    }


def _framed(
    head: Sequence[str], name: str, tail: Sequence[str], number: int
) -> list[Step]:
    return [
        *(_special(content, number) for content in head),
        {"Sequence": {"id": name, "type_id": number}},
        *(_special(content, number) for content in tail),
    ]


def _special(content: str, sequence: int) -> Step:
    return {"SpecialToken": {"id": content, "type_id": sequence}}


def _read_template(step: Step) -> Frame:
    single = _contents(step, "single")
    first, last = (single[0], single[-1]) if len(single) > 1 else (None, None)
    pair = _contents(step, "pair")
    texts = [place for place, content in enumerate(pair) if content is None]
    inner = pair[texts[0] : texts[-1]] if texts else []
    return Frame(first, last, tuple(filter(None, inner)), tuple(filter(None, single)))


def _contents(step: Step, form: str) -> list[str | None]:
    """Return the special tokens of a template, None where a text stands."""
    items = step.get(form)
    if not isinstance(items, list):
        what = f"{dict(step)!r:.80} found, a template with a list {form} expected"
        raise fault("post_processor", what)
    return [_content(item) for item in items]


def _content(item: Any) -> str | None:
    special = item.get("SpecialToken") if isinstance(item, Mapping) else None
    content = special.get("id") if isinstance(special, Mapping) else None
    return content if isinstance(content, str) else None


def _read_bert(step: Step) -> Frame:
    """Read a step that has `[content, id]` under cls and sep."""
    first, last = _named(step, "cls"), _named(step, "sep")
    return Frame(first, last, (last,), (first, last))


def _read_roberta(step: Step) -> Frame:
    """Read the same, with two separators between two texts."""
    bert = _read_bert(step)
    return evolve(bert, between=bert.between * 2)


def _named(step: Step, key: str) -> str:
    entry = step.get(key)
    if isinstance(entry, list) and entry and isinstance(entry[0], str):
        return entry[0]
    what = f"{dict(step)!r:.80} found, a {key} with a token and its id expected"
    raise fault("post_processor", what)


_READERS: Final = {
    "TemplateProcessing": _read_template,
    "RobertaProcessing": _read_roberta,
    "BertProcessing": _read_bert,
}
