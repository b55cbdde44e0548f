"""How many tokens are generated, and how each is drawn."""

from attrs import frozen

from aprhub.errors import UsageError


@frozen
class Sampling:
    """Up to `max_tokens` tokens, the likeliest each time unless there is a temperature.

    With one, tokens are drawn at random from the `top_k` likeliest, and of these from
    the likeliest that have a share `top_p` together; None leaves all.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse what draws nothing."""
        counts = {"max_tokens": self.max_tokens, "top_k": self.top_k}
        for name, value in counts.items():
            if value is not None and value <= 0:
                raise UsageError(f"{name} is {value}; give 1 or more")
        if not self.temperature >= 0:
            raise UsageError(f"temperature is {self.temperature}; give 0 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}; give more than 0, and 1 at most")
