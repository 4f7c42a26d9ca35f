"""How fast a model is on this machine: what `llm bench` and the project's own benchmarks measure with.

`turns`, `memory` and `machine` need nothing but the standard library: peers in environments of their own use them.
"""
