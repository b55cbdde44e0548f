"""Third-party programs and independent readers that judge what aprhub writes.

Nothing here imports aprhub: a judge that shared code with the writer it judges
would repeat the writer's mistakes.
"""
