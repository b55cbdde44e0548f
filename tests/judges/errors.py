"""What a judge raises when it cannot give, or refuses to give, a verdict."""

from aprhub.errors import JudgeError

__all__ = ["JudgeError"]
