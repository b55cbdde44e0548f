"""The sandbox: what templates may count on, and what they may not do."""

import json
import time
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from aprhub.corpus.sandbox import FAILURES, STEPS, Sandbox

VALUES = {"messages": [{"role": "user", "content": "<a> & é"}], "tools": [{"n": 1.5}]}

COMMON = [
    "{% if true %}\n    trimmed\n  {% endif %}\nline",
    "{{ tools | tojson }} {{ messages | tojson(indent=2) }}",
    "{{ {'b': 1, 'a': 'é'} | tojson(sort_keys=true, ensure_ascii=true) }}",
    "{% for n in range(5) %}{% if n == 3 %}{% break %}{% endif %}{{ n }}{% endfor %}",
    "{% for n in range(5) %}{% if n < 3 %}{% continue %}{% endif %}{{ n }}{% endfor %}",
    "{% for m in messages %}{{ loop.last }}{{ loop.length }}{{ m.role }}{% endfor %}",
    "{% for n in messages | map(attribute='role') %}{{ n }}{{ loop.last }}{% endfor %}",
    "{% set ns = namespace(x=1) %}{% for n in [1, 2] %}{% set ns.x = ns.x + n %}"
    "{% endfor %}{{ ns.x }}",
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m('y') | upper }}",
    "{{ nothing }}{{ nothing is defined }}{{ 6 * 7 }}",
    "{{ strftime_now('%Y') }}",
    "{{ messages[0]['content'].split('&')[0].strip() }}",
]


@pytest.mark.parametrize("template", COMMON)
def test_a_template_is_rendered_as_transformers_does(template: str) -> None:
    theirs, _ = render_jinja_template(
        [VALUES["messages"]], tools=VALUES["tools"], chat_template=template
    )

    values = {**VALUES, "documents": None, "add_generation_prompt": False}
    assert Sandbox(template).rendered(values) == theirs[0]


HARMFUL = {
    "reaches the interpreter": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reaches the globals": "{{ raise_exception.__globals__.items() }}",
    "changes a message": "{{ messages.append(1) }}",
    "reads a file": "{% include '/etc/passwd' %}",
    "complains": "{{ raise_exception('no tools here') }}",
    "loops in loops": "{% for a in range(9999) %}" * 4 + "{% endfor %}" * 4,
    "loops over a list for ever": "{% set x = range(99999) | list %}"
    + "{% for a in x %}" * 3
    + "{% endfor %}" * 3,
    "calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}"
    "{% endif %}{% endmacro %}{{ m(60) }}",
    "calls itself for ever": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "says too much": "{% for n in range(9999) %}{{ x }}{% endfor %}",
    "fills the memory": "{{ ('x' * 99999999999) | length }}",
    "raises to a power": "{{ 9 ** 9 ** 9 }}",
    "divides by nothing": "{{ 1 / 0 }}",
    "adds what is none": "{{ 1 + 'a' }}",
}


@pytest.mark.parametrize("template", HARMFUL.values(), ids=HARMFUL)
def test_a_template_that_does_harm_is_stopped(template: str) -> None:
    began = time.monotonic()

    with pytest.raises(FAILURES):
        Sandbox(template).rendered({**VALUES, "x": "word " * 1000})

    assert time.monotonic() - began < 20


def test_each_rendering_may_take_as_many_steps() -> None:
    sandbox = Sandbox("{% for n in x %}{% endfor %}done")

    for _ in range(3):
        assert sandbox.rendered({"x": range(STEPS)}) == "done"
    with pytest.raises(TemplateError, match="more than"):
        sandbox.rendered({"x": range(STEPS + 1)})


def test_what_a_template_is_given_stays_as_it_is() -> None:
    before: Any = json.loads(json.dumps(VALUES))

    Sandbox(COMMON[7] + "{% set messages = [] %}").rendered(VALUES)

    assert before == VALUES
