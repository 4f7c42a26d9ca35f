"""The engine: text in, typed chunks out. No terminal, no printing, no questions to a person."""
