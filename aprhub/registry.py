"""Registry: finds plugins, keeps who provided what, isolates what is broken.

pluggy checks hook signatures and holds the plugins; loading is done here, because one
broken or shadowed plugin must not cost another, and must not go unseen.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Generic, Self, TypeVar, cast

import pluggy
from attrs import frozen

from aprhub import hookspecs
from aprhub.errors import ContestedNameError, PluginError, UnknownNameError
from aprhub.spec.adapter import AdapterLayout
from aprhub.spec.codec import Codec
from aprhub.spec.family import Family
from aprhub.spec.format import Format
from aprhub.spec.importance import ImportanceFormat
from aprhub.spec.merging import MergeMethod
from aprhub.spec.naming import Naming
from aprhub.spec.packing import Packing

GROUP = "aprhub"
DISABLE = "APRHUB_DISABLE"

T = TypeVar(
    "T",
    Format,
    Naming,
    Family,
    Codec,
    Packing,
    ImportanceFormat,
    AdapterLayout,
    MergeMethod,
)


@frozen
class Provided(Generic[T]):
    """Something that a plugin provides, with the plugin it comes from."""

    value: T
    plugin: str
    distribution: str


@frozen
class Broken:
    """A plugin that could not be loaded or asked, and why."""

    plugin: str
    error: BaseException

    @property
    def cause(self) -> str:
        """The error in one line, with its type."""
        return f"{type(self.error).__name__}: {' '.join(str(self.error).split())}"

    def __str__(self) -> str:
        """Return the plugin and its error in one line."""
        return f"{self.plugin}: {self.cause}"


@frozen
class Registry:
    """All that the installed plugins provide."""

    formats: tuple[Provided[Format], ...] = ()
    namings: tuple[Provided[Naming], ...] = ()
    families: tuple[Provided[Family], ...] = ()
    codecs: tuple[Provided[Codec], ...] = ()
    packings: tuple[Provided[Packing], ...] = ()
    importances: tuple[Provided[ImportanceFormat], ...] = ()
    methods: tuple[Provided[MergeMethod], ...] = ()
    plugins: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()
    adapter_layouts: tuple[Provided[AdapterLayout], ...] = ()

    @classmethod
    def load(cls, *, strict: bool = False) -> "Registry":
        """Return what the entry points of the environment provide.

        Plugins of the distributions and names in the variable APRHUB_DISABLE (comma-
        separated) are left out. With `strict`, a broken plugin raises PluginError.
        """
        registry = cls._of(_entries())
        return registry.unbroken() if strict else registry

    @classmethod
    def _of(cls, entries: "Iterable[_Found]") -> "Registry":
        """Return what the given entry points provide."""
        manager = pluggy.PluginManager("aprhub")
        manager.add_hookspecs(hookspecs)
        broken: list[Broken] = []
        for entry in entries:
            _register(manager, entry, broken)
        _unregister_misspelt(manager, broken)
        ask_layouts = manager.hook.provide_adapter_layouts
        layouts = tuple(_ask(ask_layouts, AdapterLayout, broken))
        return cls(
            tuple(_ask(manager.hook.provide_formats, Format, broken)),
            tuple(_ask(manager.hook.provide_namings, Naming, broken)),
            tuple(_ask(manager.hook.provide_families, Family, broken)),
            tuple(_ask(manager.hook.provide_codecs, Codec, broken)),
            tuple(_ask(manager.hook.provide_packings, Packing, broken)),
            tuple(_ask(manager.hook.provide_importances, ImportanceFormat, broken)),
            tuple(_ask(manager.hook.provide_merge_methods, MergeMethod, broken)),
            tuple(name for name, _ in manager.list_name_plugin()),
            tuple(broken),
            layouts,
        )

    def unbroken(self) -> Self:
        """Return the registry itself; raises PluginError if a plugin is broken."""
        if self.broken:
            listed = "\n".join(f"  - {each}" for each in self.broken)
            raise PluginError(
                f"plugins could not be loaded; update or remove them, or set {DISABLE}"
                f" to their names:\n{listed}"
            )
        return self

    def format(self, name: str) -> Format:
        """Return the format of a name or alias, or `DISTRIBUTION:name`."""
        return self._one("format", name, self.formats)

    def naming(self, name: str) -> Naming:
        """Return the naming of a name."""
        return self._one("naming", name, self.namings)

    def family(self, name: str) -> Family:
        """Return the family of a name."""
        return self._one("family", name, self.families)

    def adapter_layout(self, name: str) -> AdapterLayout:
        """Return the adapter layout of a name."""
        return self._one("adapter layout", name, self.adapter_layouts)

    def codec(self, encoding: str) -> Codec | None:
        """Return the codec of an encoding, or None when nobody provides one."""
        if all(each.value.name != encoding for each in self.codecs):
            return None
        return self._one("codec", encoding, self.codecs)

    def packing(self, method: str) -> Packing:
        """Return the packing of a name."""
        return self._one("packing", method, self.packings)

    def method(self, name: str) -> MergeMethod:
        """Return the merge method of a name."""
        return self._one("merge method", name, self.methods)

    def _one(self, kind: str, wanted: str, provided: Sequence[Provided[T]]) -> T:
        found = [each for each in provided if wanted in _names(each.value)]
        if not found:
            # A name may have a colon itself: what is before it is tried as one last.
            distribution, _, name = wanted.partition(":")
            found = [
                each
                for each in provided
                if name in _names(each.value) and distribution == each.distribution
            ]
        if not found:
            raise self._unknown(kind, wanted, provided)
        if len(found) > 1:
            raise ContestedNameError(kind, wanted, [each.plugin for each in found])
        return found[0].value

    def _unknown(
        self, kind: str, name: str, provided: Sequence[Provided[T]]
    ) -> UnknownNameError:
        error = UnknownNameError(kind, name, (each.value.name for each in provided))
        if self.broken:
            count = len(self.broken)
            error.add_note(
                f"{count} plugin(s) could not be loaded; see 'aprhub plugins'"
            )
        return error


def _names(value: T) -> tuple[str, ...]:
    return (value.name, *(value.aliases if isinstance(value, Format) else ()))


@frozen
class _Found:
    """An entry point, and the name of its plugin with the distribution it is of."""

    plugin: str
    entry: EntryPoint


def _entries() -> list[_Found]:
    """Return the entry points of all plugins that are not disabled, by name."""
    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
    read = _Distributions()
    found = {
        (read.plugin(entry), entry.value): entry
        for entry in entry_points(group=GROUP)
        if not {entry.name, read[entry.dist][0]} & disabled
    }
    return [_Found(key[0], found[key]) for key in sorted(found)]


class _Distributions(dict[Distribution | None, tuple[str, str]]):
    """Name and version of distributions; the file with both is read once for each."""

    def __missing__(self, dist: Distribution | None) -> tuple[str, str]:
        metadata = dist.metadata if dist else {"Name": "unknown", "Version": ""}
        self[dist] = metadata["Name"], metadata["Version"]
        return self[dist]

    def plugin(self, entry: EntryPoint) -> str:
        """Return the name of an entry point with those of its distribution."""
        return f"{entry.name} ({' '.join(self[entry.dist]).rstrip()})"


def _register(
    manager: pluggy.PluginManager, found: _Found, broken: list[Broken]
) -> None:
    name, entry = found.plugin, found.entry
    if manager.has_plugin(name):
        why = (
            f"another entry point has this name, so {entry.value} is left out; rename"
            " one of the two in their distribution"
        )
        broken.append(Broken(name, PluginError(why)))
        return
    try:
        manager.register(entry.load(), name=name)
    except (Exception, SystemExit) as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        broken.append(Broken(name, error))


def _unregister_misspelt(manager: pluggy.PluginManager, broken: list[Broken]) -> None:
    """Take out plugins with hooks that do not exist; pluggy reports one at a time."""
    while True:
        try:
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            name = manager.get_name(error.plugin) or str(error.plugin)
            manager.unregister(name=name)
            broken.append(Broken(name, error))
        else:
            return


def _ask(
    hook: pluggy.HookCaller, kind: type[T], broken: list[Broken]
) -> Iterator[Provided[T]]:
    """Ask each plugin by itself, so that one failure costs one plugin."""
    for implementation in hook.get_hookimpls():
        name = implementation.plugin_name
        ask = cast("Callable[[], Iterable[object]]", implementation.function)
        try:
            answers = tuple(_of_kind(ask(), kind))
        except (Exception, SystemExit) as error:
            broken.append(Broken(name, error))
            continue
        distribution = name.partition("(")[2].split(" ")[0].rstrip(")")
        for answer in answers:
            yield Provided(answer, name, distribution)


def _of_kind(answers: Iterable[object], kind: type[T]) -> Iterator[T]:
    for answer in answers:
        if not isinstance(answer, kind):
            raise PluginError(
                f"provided {answer!r:.80}, expected a {kind.__name__}; report it to the"
                " author of the plugin"
            )
        yield answer
