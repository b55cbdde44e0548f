"""What a judge raises when it cannot give, or refuses to give, a verdict."""


class JudgeError(Exception):
    """A judge refused its input; the message holds the judge's own words."""
