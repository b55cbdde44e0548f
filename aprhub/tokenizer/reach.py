"""Whether merge rules make every token, so that it is moot whether to ignore them."""

from aprhub.tokenizer.document import Document
from aprhub.tokenizer.merges import pairs_of
from aprhub.tokenizer.placing import placed


def merges_make_every_token(document: Document) -> bool:
    """Return whether the text of each token is merged to that one token.

    Then a tokenizer that looks for whole words before it merges finds nothing else
    than one that does not. It takes the `tokenizers` library about a second.
    """
    from tokenizers import models

    ids = placed(document).ids
    pairs = [(left, right) for left, right in pairs_of(document, ids)]
    model = models.BPE(vocab=dict(ids), merges=pairs)
    return all(len(model.tokenize(token)) == 1 for token in ids)
