"""StampChecks: what the hub relies on in a format whose metadata can be said anew."""

from pathlib import Path

import pytest
from attrs import evolve

from aprhub.api import Format, Stamp
from aprhub.front import open_model, stamp
from aprhub.stamping.options import StampOptions
from aprhub.testing.comparison import differences
from aprhub.testing.files import contents
from aprhub.testing.saving import Saver


class StampChecks:
    """A part of `FormatConformance`, skipped for formats without `restate`."""

    @pytest.fixture
    def stamped(self, format: Format, both_ways: Saver) -> Saver:
        """Return what writes a model in a format that can be stamped."""
        if format.restate is None or format.metadata is None:
            pytest.skip(f"{format.name} cannot be stamped")
        return both_ways

    @pytest.mark.parametrize("pico", ["llama", "llama-quantised", "gemma3"])
    def test_a_stamp_changes_what_it_says_and_nothing_else(
        self, stamped: Saver, tmp_path: Path, pico: str
    ) -> None:
        """Names, encodings and bytes of the tensors stay, and all that is carried."""
        path = stamped.save(stamped.pico(pico), tmp_path)
        before = open_model(path, registry=stamped.registry)
        target = stamped.target(tmp_path / "out")
        target.parent.mkdir()

        options = StampOptions({"license": "MIT"}, verify=True)
        report = stamp(path, options, target, registry=stamped.registry)

        after = open_model(target, registry=stamped.registry)
        assert after.provenance == evolve(before.provenance, license="MIT")
        same = evolve(after, provenance=before.provenance)
        assert differences(before, same) == []
        assert len(report.changes) == 1

    def test_a_stamp_in_place_can_be_taken_back(
        self, stamped: Saver, tmp_path: Path
    ) -> None:
        """To the same bytes, so that nothing else was written anew."""
        path = stamped.save(stamped.pico("llama-tied"), tmp_path)
        before = contents(path)
        author = open_model(path, registry=stamped.registry).provenance.author

        stamp(path, StampOptions({"author": "Me"}), registry=stamped.registry)
        changed = contents(path)
        again = StampOptions({"author": author or ""})
        stamp(path, again, registry=stamped.registry)

        assert changed != before
        assert contents(path) == before

    def test_a_stamp_reads_back_by_the_keys_of_the_format(
        self, format: Format, stamped: Saver, tmp_path: Path
    ) -> None:
        """`restate` says beforehand what `metadata` finds afterwards."""
        path = stamped.save(stamped.pico("llama"), tmp_path)
        assert format.restate
        assert format.metadata

        meant = format.restate(path, Stamp({"name": "Other"}), path).keys
        stamp(path, StampOptions({"name": "Other"}), registry=stamped.registry)

        assert format.metadata(path) == meant
