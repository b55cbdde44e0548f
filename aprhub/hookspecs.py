# mypy: disable-error-code="empty-body"
"""The questions that every plugin is asked, once, at start-up.

Hooks declare; the objects they return act. All are collecting hooks: every plugin is
asked, all answers are kept, and the order of the plugins does not matter.
"""

from collections.abc import Iterable

import pluggy

from aprhub.spec.adapter import AdapterLayout
from aprhub.spec.codec import Codec
from aprhub.spec.family import Family
from aprhub.spec.format import Format
from aprhub.spec.importance import ImportanceFormat
from aprhub.spec.merging import MergeMethod
from aprhub.spec.naming import Naming
from aprhub.spec.packing import Packing

hookspec = pluggy.HookspecMarker("aprhub")
hookimpl = pluggy.HookimplMarker("aprhub")


@hookspec
def provide_formats() -> Iterable[Format]:
    """Return the file formats that this plugin reads or writes."""


@hookspec
def provide_namings() -> Iterable[Naming]:
    """Return the conventions by which this plugin's world names tensors."""


@hookspec
def provide_families() -> Iterable[Family]:
    """Return the architectures whose weights this plugin can list."""


@hookspec
def provide_codecs() -> Iterable[Codec]:
    """Return the encodings whose values this plugin can decode."""


@hookspec
def provide_packings() -> Iterable[Packing]:
    """Return the methods of quantisation whose stored parts this plugin can read."""


@hookspec
def provide_importances() -> Iterable[ImportanceFormat]:
    """Return the file formats of importance matrices that this plugin reads."""


@hookspec
def provide_adapter_layouts() -> Iterable[AdapterLayout]:
    """Return the layouts in which this plugin reads or writes adapters."""


@hookspec
def provide_merge_methods() -> Iterable[MergeMethod]:
    """Return the methods by which this plugin makes one tensor of several."""
