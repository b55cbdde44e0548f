"""The chat template of a merged model: a text, that of most models, or one by name."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aprhub.errors import UsageError, near_miss
from aprhub.ir.model import ModelIR
from aprhub.merging.sides import Models
from aprhub.tokens import Lexicon

AUTO: Final = "auto"
"""What stands for the template that most of the models have."""

_ASSISTANT: Final = "{% if add_generation_prompt %}"

NAMED: Final = {
    "alpaca": (
        "{% for turn in messages %}"
        "{% if turn.role == 'system' %}{{ turn.content | trim }}\n\n"
        "{% elif turn.role == 'user' %}### Instruction:\n{{ turn.content | trim }}\n\n"
        "{% else %}### Response:\n{{ turn.content | trim }}\n\n{% endif %}"
        "{% endfor %}" + _ASSISTANT + "### Response:\n{% endif %}"
    ),
    "chatml": (
        "{% for turn in messages %}"
        "<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
        "{% endfor %}" + _ASSISTANT + "<|im_start|>assistant\n{% endif %}"
    ),
    "exaone": (
        "{% if messages and messages[0].role != 'system' %}"
        "[|system|][|endofturn|]\n{% endif %}"
        "{% for turn in messages %}[|{{ turn.role }}|]{{ turn.content }}"
        "{{ '' if turn.role == 'user' else '[|endofturn|]' }}\n"
        "{% endfor %}" + _ASSISTANT + "[|assistant|]{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for turn in messages %}"
        "<|start_header_id|>{{ turn.role }}<|end_header_id|>\n\n"
        "{{ turn.content | trim }}<|eot_id|>"
        "{% endfor %}"
        + _ASSISTANT
        + "<|start_header_id|>assistant<|end_header_id|>\n\n"
        "{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% set place = namespace(system='') %}"
        "{% for turn in messages %}"
        "{% if turn.role == 'system' %}"
        "{% set place.system = turn.content ~ '\\n\\n' %}"
        "{% elif turn.role == 'user' %}"
        " [INST] {{ place.system }}{{ turn.content }} [/INST]"
        "{% set place.system = '' %}"
        "{% else %} {{ turn.content | trim }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    ),
}
"""The templates that recipes may name, as the models of these names were trained."""

_MARK: Final = re.compile(r"<\|\w+\|>|\[\|\w+\|\]")


def chosen_template(wanted: str, models: Models) -> str:
    """Return a chat template: the text given, one by name, or that of most models."""
    if "{" in wanted:
        return wanted
    if wanted != AUTO:
        if wanted not in NAMED:
            known = (*sorted(NAMED), AUTO)
            raise UsageError(
                f"chat_template: no template is called {wanted!r:.40}; give the text"
                f" of one, or one of {', '.join(known)}{near_miss(wanted, known)}"
            )
        return NAMED[wanted]
    found = Counter(
        model.tokenizer.chat_template
        for model in models.values()
        if model.tokenizer and model.tokenizer.chat_template
    )
    if not found:
        raise UsageError(
            "chat_template: auto, but no model has a chat template; leave it out, or"
            " write one"
        )
    return found.most_common(1)[0][0]


def unmarked(wanted: str | None, path: Path, model: ModelIR) -> Iterator[str]:
    """Say which marks of a template with a name are no tokens of a model."""
    marks = dict.fromkeys(_MARK.findall(NAMED.get(wanted or "", "")))
    if not marks or model.tokenizer is None:
        return
    known = Lexicon.of(path, model).ids
    strange = [mark for mark in marks if mark not in known]
    if strange:
        yield (
            f"chat_template: {wanted} marks turns with {', '.join(strange)}, which the"
            " model reads as text, not as tokens (tokenizer: tokens adds some)"
        )
