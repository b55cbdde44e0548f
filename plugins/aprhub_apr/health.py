"""What is wrong with an APR file that can be read, for `aprhub doctor`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import evolve

from aprhub.api import (
    Complaints,
    Examined,
    Finding,
    StoredModel,
    rewritten,
    without_checksums,
)
from aprhub_apr import configuration
from aprhub_apr.container import Container, is_vouched, scanned
from aprhub_apr.reader import stored_model
from aprhub_apr.tables import COMPRESSED, FOOTER_BYTES, Flag

_QUERIES: Final = "self_attn.q_proj.weight"
"""What the names of weights end with whose rows are paired by halves of a head."""

_HALVES = re.compile(
    "qwen|stablelm|phi|gemma|starcoder2|gpt_?neox|falcon|codeshell|orion|bert|dbrx|olmo2"
    "|olmoe|plamo|openelm|exaone|minicpm3|nemotron|internlm2|deepseek",
    re.IGNORECASE,
)
"""Parts of the names of architectures for which programs take halves to be paired
where nothing is said; for all others they take neighbours (section 4.7)."""


def examine_apr(path: Path) -> Examined:
    """Open a file, forgiving what can be put right, and say what that is."""
    complaints = Complaints(lenient=True)
    container = scanned(path, complaints)
    stored = stored_model(container, complaints)
    findings = (
        *(_decided(each, container) for each in complaints.findings),
        *_flag_findings(container, stored),
        *_footer_findings(container),
        *_quantization_findings(container, stored),
        *_rope_findings(stored),
        *_architecture_findings(stored),
    )
    disputes = [
        evolve(each, field=configuration.field_of(each.where.split(", ")[0]))
        for each in complaints.disputes
    ]
    return Examined(stored, findings, disputes)


def _decided(finding: Finding, container: Container) -> Finding:
    """Return the finding of a header's checksum with what the footer says of it."""
    if finding.id != "DOC-CHECKSUM-001" or not is_vouched(container):
        return finding
    evidence = "the checksum of the whole file fits all bytes but these four"
    return evolve(finding, evidence=evidence, obstacle="", mend=without_checksums)


def _flag_findings(container: Container, stored: StoredModel) -> Iterator[Finding]:
    flags = container.header.flags
    has_tokens = stored.tokenizer is not None and stored.tokenizer.flat is not None
    wanted = {
        Flag.LAYOUT_ROW_MAJOR: "every APR v2 file is stored by rows",
        Flag.QUANTIZED: "tensors are quantised" if _is_quantized(stored) else "",
        Flag.HAS_VOCAB: "tokenizer.vocabulary is there" if has_tokens else "",
    }
    for flag, evidence in wanted.items():
        if evidence and flag not in flags:
            yield _header_finding(flag, "not set", "set", evidence)
    for flag in flags & COMPRESSED:
        yield _header_finding(flag, "set", "not set", "the metadata are plain JSON")


def _header_finding(flag: Flag, found: str, expected: str, why: str) -> Finding:
    return Finding(
        "DOC-FLAGS-001",
        f"header flag {flag.name}",
        found,
        expected,
        "C-APRHUB-CHECKPOINT-PACKAGING",
        why,
        mend=rewritten,
    )


def _is_quantized(stored: StoredModel) -> bool:
    return any(each.encoding.is_quantized for each in stored.tensors.values())


def _footer_findings(container: Container) -> Iterator[Finding]:
    tail = container.size - container.required_size
    if tail == FOOTER_BYTES:
        return
    found = (
        "missing" if tail < FOOTER_BYTES else f"{tail - FOOTER_BYTES} bytes after it"
    )
    yield Finding(
        "DOC-FOOTER-001",
        f"footer at byte {container.required_size}",
        found,
        f"{FOOTER_BYTES} bytes, the last of the file",
        "C-APRHUB-CHECKPOINT-PACKAGING",
        "the index says where the last tensor ends",
        mend=rewritten,
    )


def _quantization_findings(
    container: Container, stored: StoredModel
) -> Iterator[Finding]:
    marks = {
        "header flag QUANTIZED": Flag.QUANTIZED in container.header.flags,
        "metadata key 'quantization'": "quantization" in stored.carried.get("apr", {}),
    }
    found = [name for name, is_there in marks.items() if is_there]
    if found and stored.tensors and not _is_quantized(stored):
        yield Finding(
            "DOC-QUANTIZATION-STALE-001",
            " and ".join(found),
            "says that tensors are quantised",
            "no such mark",
            "C-APRHUB-CHECKPOINT-PACKAGING",
            "no tensor has a quantised type",
            mend=rewritten,
        )


def _rope_findings(stored: StoredModel) -> Iterator[Finding]:
    """Find that nothing says how rows are paired, where programs guess wrongly."""
    said = stored.carried.get("apr", {}).get("rope_type")
    rotated = next((name for name in stored.tensors if name.endswith(_QUERIES)), None)
    guessed = _HALVES.search(_architecture(stored))
    if said is None and rotated and not (guessed and stored.naming is None):
        yield Finding(
            "DOC-ROPE-TYPE-001",
            "metadata key 'rope_type'",
            "missing",
            "2, since halves of a head are paired",
            "C-APRHUB-MERGE-RUNNABLE",
            f"{rotated} has its rows in that order",
            covers=("rope_type",),
            mend=rewritten,
        )


def _architecture(stored: StoredModel) -> str:
    return stored.config.identity.architecture or ""


def _architecture_findings(stored: StoredModel) -> Iterator[Finding]:
    claims = stored.config.identity.claims
    if claims and stored.tensors and not _architecture(stored):
        yield Finding(
            "DOC-ARCHITECTURE-MISSING-001",
            "metadata key 'architecture'",
            "missing",
            "the family's name",
            "C-APRHUB-MERGE-RUNNABLE",
            f"the file says {', '.join(claims)}",
            covers=("C-01",),
            mend=rewritten,
        )
