"""Other programs that compute what aprhub computes, and so can judge it.

Each is loaded when it is asked for, and nothing else of aprhub needs one. Nothing here
knows how aprhub reads or writes a model: a judge that did would repeat its mistakes.
"""
