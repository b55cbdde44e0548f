"""Generation: token after token, each drawn from what the model makes of those before.

Sampling is the common one: temperature, then the k likeliest tokens, then the likeliest
that have a share p together (nucleus).
"""

from collections.abc import Collection, Iterator, Sequence

import torch

from aprhub.decoder.cache import Cache
from aprhub.decoder.model import Decoder
from aprhub.errors import ModelCheckError
from aprhub.sampling import Sampling


@torch.inference_mode()
def generated(
    decoder: Decoder,
    prompt: Sequence[int],
    sampling: Sampling,
    stops: Collection[int] = (),
) -> Iterator[int]:
    """Yield tokens after a prompt; one of `stops` ends them, and is not told.

    Raises ModelCheckError where logits are not finite.
    """
    ids, cache = list(prompt), decoder.cache()
    device = decoder.embed.weight.device
    chance = torch.Generator(device).manual_seed(sampling.seed)
    for _ in range(sampling.max_tokens):
        cache = _valid(decoder, cache, len(ids))
        new = torch.tensor([ids[cache.length :]], device=device)
        logits = decoder.logits(decoder.hidden(new, cache)[0, -1]).float()
        if not logits.isfinite().all():
            raise ModelCheckError(
                "logits",
                f"not finite after {len(ids)} tokens; look for damage with 'aprhub"
                " validate'",
            )
        chosen = _drawn(logits, sampling, chance)
        if chosen in stops:
            return
        yield chosen
        ids.append(chosen)


def _valid(decoder: Decoder, cache: Cache, length: int) -> Cache:
    """Return the cache, or an empty one where it does not hold at this length."""
    seen = cache.length
    holds = not seen or decoder.remembers(seen, length)
    return cache if holds else decoder.cache()


def _drawn(logits: torch.Tensor, sampling: Sampling, chance: torch.Generator) -> int:
    if not sampling.temperature:
        return int(logits.argmax())
    shares = (logits / sampling.temperature).softmax(-1)
    shares, order = shares.sort(descending=True)
    if sampling.top_k is not None:
        shares[sampling.top_k :] = 0
    if sampling.top_p is not None:
        before = shares.cumsum(-1) - shares
        shares[before >= sampling.top_p] = 0
    return int(order[torch.multinomial(shares, 1, generator=chance)])
