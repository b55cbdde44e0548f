"""Each planted defect is found, by its id and alone, and repaired where it can be."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from aprhub import open_model
from aprhub.spec import health
from tests.health import raw
from tests.health.conftest import Bases
from tests.health.plants import ABSENT, PLANTS, Plant
from tests.judges import apr_checker, apr_container, hf, pico
from tests.judges.packing import pack
from tests.unit.cli.program import Done, run


def planted(bases: Bases, plant: Plant, folder: Path) -> Path:
    target = folder / f"planted{plant.suffix}"
    return raw.replanted(bases.of(plant.suffix, plant.model), target, plant.change)


def doctored(path: Path, *words: object) -> Done:
    done = run("doctor", path, "--json", *words)
    assert done.err == ""
    return done


def ids(done: Done) -> set[str]:
    return {each["id"] for each in done.json["findings"]}


@pytest.mark.parametrize("suffix", raw.OPENERS)
def test_what_is_only_put_together_again_is_healthy(
    bases: Bases, suffix: str, tmp_path: Path
) -> None:
    path = raw.replanted(bases.of(suffix), tmp_path / f"same{suffix}", lambda _: None)

    done = doctored(path)

    assert (done.code, done.json["findings"]) == (0, [])


@pytest.mark.parametrize("plant", PLANTS, ids=str)
def test_a_defect_is_found_and_nothing_else(
    bases: Bases, plant: Plant, tmp_path: Path
) -> None:
    done = doctored(planted(bases, plant, tmp_path))

    assert (done.code, ids(done)) == (1, {plant.id})
    for each in done.json["findings"]:
        assert each["contract"]
        assert each["mendable"] is plant.mendable
        assert bool(each["obstacle"]) is not plant.mendable
        assert each["evidence"] or not plant.mendable


MENDABLE = [each for each in PLANTS if each.mendable]
CHANGED = ("no-head", "not-a-tie", "narrow-norm")
"""Plants after which the model is another one."""


@pytest.mark.parametrize("plant", MENDABLE, ids=str)
def test_a_repair_gives_the_model_back(
    bases: Bases, plant: Plant, tmp_path: Path
) -> None:
    path = planted(bases, plant, tmp_path)
    target = tmp_path / f"mended{plant.suffix}"

    done = doctored(path, "--fix", "-o", target)

    assert (done.code, done.json["left"]) == (0, [])
    assert {each["id"] for each in done.json["repaired"]} == {plant.id}
    if plant.suffix == ".apr":
        assert apr_checker.check(target) == []
        assert apr_checker.runnable(target) == []
    if plant.name not in CHANGED:
        found, meant = open_model(target), open_model(bases.of(plant.suffix))
        identity = meant.config.identity
        assert evolve(found.config, identity=identity) == meant.config
        assert found.provenance.lineage[-1].operation == "doctor"
        assert {name: each.tobytes() for name, each in found.tensors.items()} == {
            name: each.tobytes() for name, each in meant.tensors.items()
        }


@pytest.mark.parametrize(
    "plant", [each for each in PLANTS if not each.mendable], ids=str
)
def test_what_nothing_shows_is_not_repaired(
    bases: Bases, plant: Plant, tmp_path: Path
) -> None:
    path = planted(bases, plant, tmp_path)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*.*")}
    target = tmp_path / f"mended{plant.suffix}"

    done = doctored(path, "--fix", "-o", target)

    assert (done.code, done.json["repaired"]) == (1, [])
    assert done.json["refusal"]
    assert {each: each.read_bytes() for each in tmp_path.rglob("*.*")} == before


LOST = [each for each in PLANTS if each.id.startswith("DOC-TOKENIZER-")]


@pytest.mark.parametrize("plant", LOST, ids=str)
def test_a_tokenizer_that_is_given_is_put_there(
    bases: Bases, plant: Plant, tmp_path: Path
) -> None:
    path = planted(bases, plant, tmp_path)
    target = tmp_path / f"mended{plant.suffix}"

    done = doctored(path, "--tokenizer", bases.of(""), "--fix", "-o", target)

    assert (done.code, done.json["left"]) == (0, [])
    assert ids(done) == {plant.id}
    tokenizer = open_model(target).tokenizer
    assert tokenizer is not None
    assert tokenizer.special_ids["eos"] == 266
    if target.is_dir():
        judge = hf.transformers().PreTrainedTokenizerFast.from_pretrained(target)
        template = tokenizer.chat_template
        assert (judge.eos_token_id, judge.chat_template) == (266, template)


def test_a_packed_folder_is_repaired_by_a_stamp(tmp_path: Path) -> None:
    path, target = tmp_path / "packed", tmp_path / "mended"
    pack(pico.pico("llama"), "gptq", path, tmp_path / "plain")
    config = path / "config.json"
    text = config.read_text()
    config.write_text(
        text.replace('"num_key_value_heads": 2', '"num_key_value_heads": 1')
    )

    done = doctored(path, "--fix", "-o", target)
    (finding,) = done.json["findings"]
    words = ("--in-place", "--set", f"num_key_value_heads={finding['expected']}")
    stamped = run("stamp", path, *words)

    assert (done.code, target.exists()) == (1, False)
    assert "aprhub stamp" in finding["obstacle"]
    assert (stamped.code, doctored(path).code) == (0, 0)


def test_a_tokenizer_of_another_model_is_not_put_there(
    bases: Bases, tmp_path: Path
) -> None:
    plant = next(each for each in PLANTS if str(each) == "padded-over.gguf")
    path = planted(bases, plant, tmp_path)

    def other(parts: raw.Parts) -> None:
        renaming = ("<|begin|>", "<|start|>")
        files = ("tokenizer.json", "tokenizer_config.json")
        parts.rest["renamed"] = dict.fromkeys(files, renaming)

    given = raw.replanted(bases.of(""), tmp_path / "other", other)
    done = doctored(path, "--tokenizer", given)

    assert ids(done) == {plant.id}
    assert "another model's" in done.json["findings"][0]["obstacle"]


def _footless(data: bytes) -> bytes:
    return data[:-4]


def _trailed(data: bytes) -> bytes:
    return data + b"more"


def _damaged(data: bytes) -> bytes:
    return data[:-70] + bytes((data[-70] ^ 1,)) + data[-69:]


@pytest.mark.parametrize(
    ("change", "id", "code"),
    [
        (_footless, "DOC-FOOTER-001", 0),
        (_trailed, "DOC-FOOTER-001", 0),
        (_damaged, "DOC-CHECKSUM-001", 1),
    ],
)
def test_a_bad_end_of_an_apr_file(
    bases: Bases,
    change: Callable[[bytes], bytes],
    id: str,
    code: int,
    tmp_path: Path,
) -> None:
    path = tmp_path / "planted.apr"
    path.write_bytes(change(bases.of(".apr").read_bytes()))

    done = doctored(path, "--fix", "-o", tmp_path / "mended.apr")

    assert (done.code, ids(done)) == (code, {id})
    assert (tmp_path / "mended.apr").exists() is not bool(code)


def _unsealed(data: bytes) -> bytes:
    """Change the header's checksum alone."""
    return data[:40] + bytes((data[40] ^ 1,)) + data[41:]


def _sealed(data: bytes) -> bytes:
    """Write the checksum of the whole file again."""
    whole = data[:-4]
    return whole + zlib.crc32(whole).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("change", "mendable"),
    [
        (_unsealed, True),
        (lambda data: _sealed(_unsealed(data)), True),
        (lambda data: _unsealed(_damaged(data)), False),
        (lambda data: _unsealed(data)[:-4], False),
    ],
    ids=["changed later", "written wrong", "other bytes, too", "no footer"],
)
def test_the_checksum_of_a_header_is_repaired_if_the_footer_vouches_for_the_rest(
    bases: Bases, change: Callable[[bytes], bytes], mendable: bool, tmp_path: Path
) -> None:
    path, target = tmp_path / "planted.apr", tmp_path / "mended.apr"
    path.write_bytes(change(bases.of(".apr").read_bytes()))

    done = doctored(path, "--fix", "-o", target)

    assert ids(done) <= {"DOC-CHECKSUM-001", "DOC-FOOTER-001"}
    assert (done.code, target.exists()) == (int(not mendable), mendable)
    if mendable:
        assert ids(done) == {"DOC-CHECKSUM-001"}
        assert apr_checker.check(target) == []


def test_bytes_are_trusted_only_when_told(bases: Bases, tmp_path: Path) -> None:
    path, target = tmp_path / "planted.apr", tmp_path / "mended.apr"
    path.write_bytes(_damaged(bases.of(".apr").read_bytes()))

    done = doctored(path, "--fix", "-o", target, "--trust-bytes")

    assert (done.code, ids(done)) == (0, {"DOC-CHECKSUM-001"})
    assert apr_checker.check(target) == []
    steps = open_model(target).provenance.lineage
    assert "DOC-CHECKSUM-001" in str(steps[-1].options)


def test_bytes_that_cannot_be_right_are_not_trusted(
    bases: Bases, tmp_path: Path
) -> None:
    path, target = tmp_path / "planted.apr", tmp_path / "mended.apr"
    data = bases.of(".apr").read_bytes()
    norm = next(
        each
        for each in apr_container.parse(bases.of(".apr")).entries
        if each.name == "model.norm.weight"
    )
    start = data.index(apr_container.parse(bases.of(".apr")).payload(norm))
    path.write_bytes(data[:start] + b"\xff" * 4 + data[start + 4 :])

    done = doctored(path, "--fix", "-o", target, "--trust-bytes")

    assert (done.code, target.exists()) == (1, False)
    assert "NaN" in done.json["refusal"]


@pytest.mark.parametrize("suffix", raw.OPENERS)
def test_several_defects_are_found_together(
    bases: Bases, suffix: str, tmp_path: Path
) -> None:
    names = ("key-repeated", "wrong-heads", "no-tokenizer")
    wanted = [each for each in PLANTS if each.suffix == suffix and each.name in names]

    def change(parts: raw.Parts) -> None:
        for each in wanted:
            each.change(parts)

    path = raw.replanted(bases.of(suffix), tmp_path / f"planted{suffix}", change)
    assert ids(doctored(path)) == {each.id for each in wanted}


@pytest.mark.parametrize("suffix", [".apr", ".gguf"])
def test_a_turned_embedding_is_turned_as_its_twin_is(
    bases: Bases, suffix: str, tmp_path: Path
) -> None:
    embedding = "model.embed_tokens.weight" if suffix == ".apr" else "token_embd.weight"
    head = "lm_head.weight" if suffix == ".apr" else "output.weight"

    def change(parts: raw.Parts) -> None:
        twin = parts.tensors[head]
        parts.tensors[embedding] = raw.Stored(twin.type, twin.shape[::-1], twin.data)

    path = raw.replanted(bases.of(suffix), tmp_path / f"planted{suffix}", change)
    done = doctored(path, "--fix", "-o", tmp_path / f"mended{suffix}")

    assert (done.code, ids(done)) == (0, {"DOC-EMBEDDING-SWAPPED-001"})
    found = open_model(tmp_path / f"mended{suffix}").tensors
    assert found["embed.weight"].tobytes() == found["head.weight"].tobytes()


def test_values_in_dispute_are_told_though_the_family_is_unknown(
    bases: Bases, tmp_path: Path
) -> None:
    def change(parts: raw.Parts) -> None:
        parts.drop("hf_architecture", "hf_model_type")
        parts.put("architecture", "acme")
        parts.pairs.append(("num_layers", 7))

    path = raw.replanted(bases.of(".apr"), tmp_path / "planted.apr", change)

    found = doctored(path, "--fix", "-o", tmp_path / "mended.apr")

    assert ids(found) == {"DOC-ARCHITECTURE-WRONG-001", "DOC-KEYS-001"}
    assert not (tmp_path / "mended.apr").exists()


IN_BYTES = ("DOC-FOOTER-001", "DOC-CHECKSUM-001")
"""Defects that are made in the bytes of a file."""
IDS = sorted(each for each in vars(health).values() if str(each).startswith("DOC-"))


@pytest.mark.parametrize("suffix", raw.OPENERS)
@pytest.mark.parametrize("id", IDS)
def test_each_defect_is_planted_in_each_format_that_can_have_it(
    id: str, suffix: str
) -> None:
    planted = {(each.id, each.suffix) for each in PLANTS}
    planted |= {(each, ".apr") for each in IN_BYTES}
    planted |= {("DOC-CORRUPT-001", each) for each in raw.OPENERS}

    assert ((id, suffix) in planted) is not ((id, suffix) in ABSENT)


@pytest.mark.parametrize("suffix", raw.OPENERS)
def test_a_file_cut_short_is_a_finding(
    bases: Bases, suffix: str, tmp_path: Path
) -> None:
    path = raw.replanted(bases.of(suffix), tmp_path / f"cut{suffix}", lambda _: None)
    weights = path / "model.safetensors" if path.is_dir() else path
    weights.write_bytes(weights.read_bytes()[:-999])

    done = doctored(path)

    assert (done.code, ids(done)) == (1, {"DOC-CORRUPT-001"})


@pytest.mark.parametrize(
    "words", [("--fix",), ("-o", "out.apr"), ("--fix", "-o", "{path}")]
)
def test_a_repair_needs_another_place(
    bases: Bases, words: tuple[str, ...], tmp_path: Path
) -> None:
    plant = next(each for each in PLANTS if str(each) == "no-slug.apr")
    path = planted(bases, plant, tmp_path)
    before = path.read_bytes()

    done = run("doctor", path, *(word.format(path=path) for word in words))

    assert (done.code, path.read_bytes()) == (2, before)


def test_what_stands_there_is_replaced_only_when_told(
    bases: Bases, tmp_path: Path
) -> None:
    plant = next(each for each in PLANTS if str(each) == "no-slug.apr")
    path, target = planted(bases, plant, tmp_path), tmp_path / "there.apr"
    target.write_bytes(b"mine")

    refused = run("doctor", path, "--fix", "-o", target)
    assert (refused.code, target.read_bytes()) == (2, b"mine")
    assert run("doctor", path, "--fix", "-o", target, "--force").code == 0


def test_the_text_names_what_was_wrong_and_what_it_is_now(
    bases: Bases, tmp_path: Path
) -> None:
    plant = next(each for each in PLANTS if str(each) == "wrong-heads.apr")
    path, target = planted(bases, plant, tmp_path), tmp_path / "mended.apr"

    lines = run("doctor", path, "--fix", "-o", target).out.splitlines()

    assert lines == [
        f"{path}: apr, 1 finding(s)",
        "  DOC-SIZE-WRONG-001 num_kv_heads: 1",
        "    expected: 2",
        "    evidence: the shapes of the tensors",
        "    contract: C-APRHUB-MERGE-RUNNABLE",
        "    repaired: 1 -> 2",
        f"wrote {target}",
    ]
