"""The error tree: every failure that a person can cause or mend is one of these.

EngineError
├── UsageError            the request itself makes no sense (a temperature below zero, an unknown device)
├── InputError            a file or text that can't be read (binary, wrong encoding, empty)
├── InputTooLong          the input does not fit the context and the policy is to refuse
├── ModelError
│   ├── ModelNotFound     no such model on this machine
│   ├── CheckpointError   weights, config or tokenizer missing, truncated, tampered with or of an unknown family
│   └── FetchError        a model could not be brought here (network, hash, disk, licence)
└── OutputError           the model's output does not have the form that was asked for
"""

from __future__ import annotations


class EngineError(Exception):
    """A failure with what was expected, what came, and (in `hint`) what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EngineError):
    """The request itself makes no sense."""


class InputError(EngineError):
    """A file or text that can't be read."""


class InputTooLong(EngineError):
    """The input does not fit the context and the overflow policy is `error`."""


class ModelError(EngineError):
    """Something is wrong with a model on disk or on its way here."""


class ModelNotFound(ModelError):
    """No such model on this machine."""


class CheckpointError(ModelError):
    """Weights, config or tokenizer are missing, damaged or of an unknown family."""


class FetchError(ModelError):
    """A model could not be brought to this machine."""


class OutputError(EngineError):
    """The model's output does not have the form that was asked for."""
