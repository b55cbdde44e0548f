"""A model card says under what licence a model stands and what it learnt from."""

import time
from pathlib import Path

import pytest

from aprhub.api import StoredModel
from aprhub_safetensors import SAFETENSORS
from tests.plugins.safetensors.disk import model_folder

FRONT = """---
license: apache-2.0
language:
- no
datasets:
- acme/texts
- acme/code
tags: [chat]
released: 2026-01-01
---
# A model

---
license: mit
---
"""


def opened(folder: Path, card: str | bytes, record: str | None = None) -> StoredModel:
    texts = {"aprhub__json": record.encode()} if record else {}
    path = model_folder(folder / "m", **texts)
    data = card.encode() if isinstance(card, str) else card
    (path / "README.md").write_bytes(data)
    assert SAFETENSORS.open is not None
    return SAFETENSORS.open(path)


def test_the_front_matter_of_a_card_is_where_a_model_comes_from(
    tmp_path: Path,
) -> None:
    model = opened(tmp_path, FRONT)

    assert model.provenance.license == "apache-2.0"
    assert model.provenance.data_source == "acme/texts, acme/code"
    note = "taken of README.md: license and data_source; its text stays behind"
    assert note in model.notes
    assert not any("not read" in each for each in model.notes)


def test_what_the_model_has_on_record_goes_first(tmp_path: Path) -> None:
    record = '{"version": 1, "provenance": {"license": "mit"}}'

    model = opened(tmp_path, FRONT, record)

    assert model.provenance.license == "mit"
    assert model.provenance.data_source == "acme/texts, acme/code"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("license: other\nlicense_name: gemma", "gemma"),
        ("license: other", "other"),
        ("license_name: acme", "acme"),
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license: 7", None),
        ("license:\n- name: mit", None),
        ("tags: [x]", None),
        ("", None),
    ],
)
def test_a_licence_is_a_text_or_several(
    said: str, expected: str | None, tmp_path: Path
) -> None:
    model = opened(tmp_path, f"\ufeff---\r\n{said}\r\n--- \r\nbody")

    assert model.provenance.license == expected


@pytest.mark.parametrize(
    "text", ["", "# A model\n---\nlicense: mit\n---\n", "---\nlicense: mit\n", "a: b"]
)
def test_a_card_without_front_matter_says_nothing(text: str, tmp_path: Path) -> None:
    model = opened(tmp_path, text)

    assert model.provenance.license is None
    assert "taken of README.md: nothing; its text stays behind" in model.notes


@pytest.mark.parametrize(
    "card",
    [
        "---\nlicense: [mit\n---\n",
        "---\nlicense: mit\nlicense: apache-2.0\n---\n",
        "---\na: &a mit\nlicense: *a\n---\n",
        "---\nlicense: !!python/object/new:os.system [ls]\n---\n",
        b"---\nlicense: \xff\n---\n",
    ],
)
def test_a_card_that_cannot_be_read_is_named_and_the_model_is_opened(
    card: str | bytes, tmp_path: Path
) -> None:
    model = opened(tmp_path, card)

    assert model.provenance.license is None
    assert any(each.startswith("the model card is not read") for each in model.notes)


def test_thousands_of_results_in_a_card_are_passed_over(tmp_path: Path) -> None:
    results = "".join(f"  - task: {n}\n    value: {n / 7}\n" for n in range(100_000))
    before = time.process_time()

    model = opened(tmp_path, f"---\nmodel-index:\n- results:\n{results}{FRONT[4:]}")

    assert model.provenance.license == "apache-2.0"
    assert time.process_time() - before < 2


def test_a_card_outside_of_the_folder_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "card").write_text(FRONT)
    path = model_folder(tmp_path / "m")
    (path / "README.md").symlink_to(tmp_path / "card")
    assert SAFETENSORS.open is not None

    model = SAFETENSORS.open(path)

    assert model.provenance.license is None
    assert any("a link that leads out of the folder" in each for each in model.notes)
