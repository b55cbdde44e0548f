"""One vocabulary for several models: its tokenizer, and whose row each token has."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from aprhub.errors import Fault, ModelCheckError, UsageError, near_miss
from aprhub.ir.model import ModelIR
from aprhub.ir.tokenizer import Tokenizer
from aprhub.merging.recipe import TokenizerPolicy, TokenRule
from aprhub.merging.sides import Models
from aprhub.tokens import Lexicon

Row = tuple[tuple[Path, int], ...]
"""The rows of models whose mean is the embedding of a token; without any, zeros."""

_REPAIR: Final = (
    "say whose tokens the result has: base, union or a model, with --tokenizer, or as"
    " tokenizer: source in a recipe"
)
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")


def check_same_vocabulary(models: Models, paths: Sequence[Path]) -> None:
    """Refuse models that have other rows, or other tokens for them, than the first."""
    first, *others = dict.fromkeys(paths)
    known = _known(models[first])
    for path in others:
        rows, ours = models[path].config.vocab_size, models[first].config.vocab_size
        found = _known(models[path])
        faults = []
        if rows != ours:
            problem = f"{rows}, but {ours} in {first}"
            faults.append(Fault("vocab_size", problem, _REPAIR))
        elif known != found and None not in (known, found):
            left, right = (Lexicon.of(each, models[each]).ids for each in (first, path))
            faults += _token_faults(left, right, first)
        if faults:
            what = f"cannot be merged with {first} row by row"
            raise ModelCheckError(path, what, faults)


def _known(model: ModelIR) -> object:
    """Return what is the same only for the same tokenizer, at little cost."""
    tokenizer = model.tokenizer
    return tokenizer and (tokenizer.program or tokenizer.flat)


def _token_faults(
    left: Mapping[str, int], right: Mapping[str, int], first: Path
) -> Iterator[Fault]:
    for token in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(token), right.get(token)
        if ours != theirs:
            yield Fault(
                f"token {token!r:.40}",
                f"{_shown(theirs)}, but {_shown(ours)} in {first}",
                _REPAIR,
            )


def _shown(number: int | None) -> str:
    return "missing" if number is None else f"id {number}"


@frozen
class Vocabulary:
    """The tokens of a result: its tokenizer, and those of the models.

    `rows` is how many rows the embedding gets; those past the last token are filled.
    `base` is the model whose row a token has where others lack it.
    """

    tokenizer: Tokenizer
    ids: Mapping[str, int]
    rows: int
    rules: Mapping[str, TokenRule]
    lexicons: Mapping[Path, Lexicon]
    base: Path | None

    @property
    def size(self) -> int:
        """How many rows have a place for a token."""
        return max(self.ids.values()) + 1

    def of(self, path: Path, others: Sequence[Path]) -> dict[int, Row]:
        """Return the row of each id for a model that is merged with others."""
        own = self.lexicons[path].ids
        found: dict[int, Row] = {}
        for token, number in self.ids.items():
            rule = self.rules.get(token)
            forced = rule is not None and rule.force
            if token in own and not forced:
                found[number] = ((path, own[token]),)
            else:
                found[number] = self._row(token, rule, others)
        return found

    def _row(self, token: str, rule: TokenRule | None, others: Sequence[Path]) -> Row:
        """Return where a token's row comes from that a model does not have itself.

        Without a rule it is the base's, or else the mean of those that have it.
        """
        if rule is None or rule.source is None:
            having = [path for path in others if token in self.lexicons[path].ids]
            chosen = [path for path in having if path == self.base] or having
            return tuple((path, self.lexicons[path].ids[token]) for path in chosen)
        if isinstance(rule.source, str):
            return ()
        if rule.source not in others:
            raise UsageError(
                f"token {token!r:.80}: {rule.source} is none of the models that its"
                f" embedding is merged from; take one of {', '.join(map(str, others))}"
            )
        return ((rule.source, self._number(token, rule, rule.source)),)

    def _number(self, token: str, rule: TokenRule, source: Path) -> int:
        ids = self.lexicons[source].ids
        wanted = token if rule.token is None else rule.token
        number = wanted if isinstance(wanted, int) else ids.get(wanted)
        if number is None or number not in ids.values():
            near = near_miss(wanted, ids) if isinstance(wanted, str) else ""
            raise UsageError(
                f"token {token!r:.80}: {source} has no token {wanted!r:.80}; name one"
                f" that it has{near}"
            )
        return number


def vocabulary(
    policy: TokenizerPolicy, models: Models, base: Path | None, donor: ModelIR | None
) -> Vocabulary:
    """Return the vocabulary that a policy asks for.

    `donor` is a model it names; without one, the tokenizer is that of the first model.
    """
    lexicons = {path: Lexicon.of(path, model) for path, model in models.items()}
    if donor is None:
        giver = next(iter(models))
        tokenizer, known = models[giver].tokenizer, lexicons[giver]
    else:
        giver = Path(str(policy.source))
        tokenizer, known = donor.tokenizer, Lexicon.of(giver, donor)
    if tokenizer is None:
        what = "has no tokenizer; give it one with 'aprhub stamp --tokenizer'"
        raise ModelCheckError(giver, what)
    wanted = _united(known, lexicons.values()) if policy.source == "union" else {}
    for token in policy.tokens:
        if token not in known.ids:
            wanted.setdefault(token, _entry(token))
    ids = dict(known.ids)
    for number, token in enumerate(wanted, max(ids.values()) + 1):
        ids[token] = number
    entries = [{**entry, "id": ids[token]} for token, entry in wanted.items()]
    multiple = policy.pad_to_multiple_of or 1
    rows = -(-(max(ids.values()) + 1) // multiple) * multiple
    extended = _extended(tokenizer, entries) if entries else tokenizer
    return Vocabulary(extended, ids, rows, policy.tokens, lexicons, base)


def _united(
    known: Lexicon, lexicons: Iterator[Lexicon] | Any
) -> dict[str, dict[str, Any]]:
    """Return the tokens that the first lexicon lacks, those of a vocabulary first."""
    plain: dict[str, dict[str, Any]] = {}
    added: dict[str, dict[str, Any]] = {}
    for lexicon in lexicons:
        for token in lexicon.ids:
            if token in known.ids:
                continue
            if token in lexicon.added:
                entry = lexicon.added[token]
                flags = {flag: entry.get(flag, False) for flag in _FLAGS}
                added.setdefault(token, {**_entry(token), **flags})
            else:
                plain.setdefault(token, _entry(token))
    return {**{t: e for t, e in plain.items() if t not in added}, **added}


def _entry(token: str) -> dict[str, Any]:
    """Return an added token as a `tokenizer.json` has it, but for its id."""
    flags = dict.fromkeys(_FLAGS, False)
    return {"content": token, **flags, "normalized": True}


def _extended(tokenizer: Tokenizer, entries: Sequence[Mapping[str, Any]]) -> Tokenizer:
    from aprhub.tokenizer.assembling import program_of
    from aprhub.tokenizer.document import parsed, written

    root = parsed(program_of(tokenizer)).root
    added = [*(root.get("added_tokens") or ()), *entries]
    program = written({**root, "added_tokens": added})
    return evolve(tokenizer, json=program, flat=None, skeleton=None)
