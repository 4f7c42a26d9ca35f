"""Measurements, never asserted in tests: each is a ratio against a peer in one run, for the machine it ran on."""
