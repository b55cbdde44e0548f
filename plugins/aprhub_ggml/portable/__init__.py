"""numpy encoders of what the `gguf` package does not encode, to ggml's own bytes.

They search many blocks at a time, but inside a block in the order of ggml's C loops.
"""
