"""Builds SentencePiece models from lists of pieces and merges; knows nothing of files.

A byte-level vocabulary merges by a list of pairs, SentencePiece by one score a piece. Both make the same tokens if
every piece that merging can make is also what its own bytes merge into: then at every moment the two algorithms see
the same best pair. `unreachable` finds the pieces for which that fails; they are named so that text never meets them.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from engine.errors import CheckpointError
from engine.tokenizer import BYTE_ALPHABET, META_SPACE, PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Types of pieces: SentencePiece's numbers, which GGUF uses too."""
_UNKNOWN_NAME = PLACEHOLDER + "unknown"
_CUTS = " \n\t,.，。、；：！？"


def native_proto(pieces: Sequence[str], scores: Sequence[float], types: Sequence[int]) -> bytes:
    """A model whose pieces are text with ▁ for spaces; exactly one type must be UNKNOWN. Raises CheckpointError."""
    if not len(pieces) == len(scores) == len(types):
        raise CheckpointError(f"{len(pieces)} pieces, {len(scores)} scores and {len(types)} types do not match")
    model = _empty_model(escape_whitespaces=True)
    taken: set[str] = set()
    for index, (name, score, kind) in enumerate(zip(pieces, scores, types, strict=True)):
        unusable = kind == UNUSED or not name or "\0" in name or name in taken
        _add(model, _free(name, index, taken) if unusable else name, score, CONTROL if unusable else kind)
        taken.add(model.pieces[-1].piece)
        if kind == UNKNOWN:
            model.trainer_spec.unk_piece = model.pieces[-1].piece
    model.trainer_spec.byte_fallback = sum(kind == BYTE for kind in types) == 256
    return model.SerializeToString()


def byte_level_proto(
    pieces: Sequence[str | None], merges: Sequence[tuple[str, str]], apart: Iterable[int]
) -> tuple[bytes, list[int]]:
    """A model of pieces in GPT-2's alphabet, and the ids of pieces that merging never makes.

    `apart` are the ids that text never becomes by merging (control and added tokens); None is an id without a piece.
    Trailing ones are left out, and an unknown piece of our own stands at the end, so that ids are the publisher's.
    """
    model = _empty_model(escape_whitespaces=False)
    separate = set(apart)
    rank = ranks(merges)
    lost = unreachable(merges)
    never: list[int] = []
    taken: set[str] = set()
    last = max((index for index, name in enumerate(pieces) if name is not None), default=-1)
    for index, name in enumerate(pieces[: last + 1]):
        if name is None or not name or index in separate:
            usable = name if name and "\0" not in name and name not in taken else _free(name or "", index, taken)
            _add(model, usable, 0, CONTROL)
        elif (len(name) == 1 or name in rank) and name not in lost and name not in taken:
            _add(model, name, -rank.get(name, -1) - 1, NORMAL)
        else:
            never.append(index)
            _add(model, _free(name, index, taken), 0, NORMAL)
        taken.add(model.pieces[-1].piece)
    if len(taken & set(BYTE_ALPHABET)) < 128:
        raise CheckpointError("the vocabulary lacks most single bytes, so it is not a byte-level one")
    _add(model, _UNKNOWN_NAME, 0, UNKNOWN)
    model.trainer_spec.unk_piece = _UNKNOWN_NAME
    return model.SerializeToString(), never


def ranks(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """For each piece the place of the first merge that makes it."""
    found: dict[str, int] = {}
    for place, (left, right) in enumerate(merges):
        found.setdefault(left + right, place)
    return found


def unreachable(merges: Sequence[tuple[str, str]]) -> set[str]:
    """The pieces whose own characters merge into something else."""
    place = {pair: index for index, pair in reversed(list(enumerate(merges)))}
    made_at = ranks(merges)
    parts = {left + right: (left, right) for left, right in reversed(merges)}
    lost: set[str] = set()
    for piece, (left, right) in parts.items():
        if _meet(left, right, place, made_at, parts):
            continue
        if merge(piece, place) != [piece]:
            lost.add(piece)
    return lost


def merge(text: str, place: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair merging as it is defined: the first listed pair, leftmost first, until none is left."""
    symbols = list(text)
    while len(symbols) > 1:
        best, at = min((place.get(pair, len(place)), i) for i, pair in enumerate(itertools.pairwise(symbols)))
        if best == len(place):
            break
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    return symbols


def _meet(
    left: str,
    right: str,
    place: dict[tuple[str, str], int],
    made_at: dict[str, int],
    parts: dict[str, tuple[str, str]],
) -> bool:
    """Whether merging left + right surely arrives at these two: undone step by step, nothing may cross the border.

    False where it does not or where an early piece is made of later ones, which this short way can't judge.
    """
    used_left = used_right = made_at[left + right]
    while True:
        born_left, born_right = made_at.get(left, -1), made_at.get(right, -1)
        if born_left >= used_left or born_right >= used_right:
            return False
        if born_left < 0 and born_right < 0:
            return len(left) == 1 and len(right) == 1
        if born_left > born_right:
            left, used_left = parts[left][1], born_left
        else:
            right, used_right = parts[right][0], born_right
        crossing = place.get((left, right), len(place))
        # Of equal pairs the leftmost merges first: before the right neighbour's, after the left one's.
        if crossing < used_left and crossing <= used_right:
            return False


def cuts(pieces: Iterable[str]) -> str:
    """The characters that follow nothing but their like within any piece: text may be cut before them."""
    pattern = re.compile(f"(?s)(.)(?=([{re.escape(_CUTS)}]))")
    bound = {
        cut for piece in pieces for before, cut in pattern.findall(piece.replace(META_SPACE, " ")) if before != cut
    }
    return "".join(c for c in _CUTS if c not in bound)


def looks_like_control(name: str) -> bool:
    """Whether a name has the form that publishers give to control tokens, whatever its type says."""
    return name.startswith("<|") and name.endswith("|>")


def new_proto() -> Any:
    """An empty ModelProto."""
    from sentencepiece import sentencepiece_model_pb2

    schema: Any = sentencepiece_model_pb2
    return schema.ModelProto()


def _empty_model(*, escape_whitespaces: bool) -> Any:
    model = new_proto()
    model.trainer_spec.model_type = model.trainer_spec.BPE
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = escape_whitespaces
    return model


def _add(model: Any, name: str, score: float, kind: int) -> None:
    piece = model.pieces.add()
    piece.piece, piece.score, piece.type = name, score, kind


def _free(name: str, index: int, taken: set[str]) -> str:
    """A name that text never matches and that no other piece has."""
    name = PLACEHOLDER + name.replace("\0", "")
    return name if name not in taken and name != PLACEHOLDER else f"{name}{PLACEHOLDER}{index}"
