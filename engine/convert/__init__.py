"""Readers of other people's weights and vocabularies; they write our own format."""
