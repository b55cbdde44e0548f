"""The table of mutants fits the sources, so that `make mutants` tries all of them."""

from scripts.mutants import ROOT, mutants


def test_every_mutant_has_its_place_in_the_sources_once() -> None:
    stale = [
        mutant.name
        for mutant in mutants("")
        if (ROOT / mutant.file).read_text("utf-8").count(mutant.old) != 1
    ]

    assert stale == []
