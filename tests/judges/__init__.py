"""Third-party programs and independent readers that judge what aprhub writes.

Nothing here imports aprhub but for its own `judges`, which ask other programs and know
nothing of its formats: a judge that shared code with the writer it judges would repeat
the writer's mistakes.
"""
