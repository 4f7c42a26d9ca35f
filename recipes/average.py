"""The average of adapters over one base: `python -m recipes.average OUT 0.5 A.safetensors 0.5 B.safetensors`.

Runs that began elsewhere err elsewhere: their mean is often better than each (arXiv 2203.05482). A sum of low-rank
changes has the sum of their ranks; the best change of the first one's rank is kept of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import adapter
from engine.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from engine.adapter import Adapter

    Weighted = Sequence[tuple[float, Adapter]]

KEPT = ("rows", "steps", "training", "data", "files", "held_out_losses", "start", "strength")
"""What is told of each."""


def main(words: Sequence[str] | None = None) -> None:
    """Read the arguments and write the average. Exits with a message where that fails."""
    given = list(sys.argv[1:] if words is None else words)
    if len(given) < 3 or len(given) % 2 == 0:
        sys.exit(f"{__doc__}")
    try:
        parts = [(float(given[at]), adapter.load(Path(given[at + 1]))) for at in range(1, len(given), 2)]
        tensors, lost = averaged(parts)
        adapter.save(Path(given[0]), tensors, about(parts))
    except (EngineError, ValueError, OSError) as error:
        sys.exit(str(error))
    print(f"{given[0]}: {lost:.2%} of the change's energy lies beyond the rank that is kept")


def averaged(parts: Weighted) -> tuple[dict[str, Tensor], float]:
    """The tensors, and the share of the sum's squares that is lost. Raises UsageError for parts that do not fit."""
    import torch

    first = parts[0][1]
    rank, scale = first.info["rank"], first.info["scale"]
    for _, one in parts:
        if one.info["base"] != first.info["base"] or one.tensors.keys() != first.tensors.keys():
            raise UsageError("the adapters were trained over other models, or other layers")
    tensors: dict[str, Tensor] = {}
    lost = total = 0.0
    for a in (name for name in first.tensors if name.endswith(".a")):
        b = a.removesuffix("a") + "b"
        wide = torch.cat([weight * one.info["scale"] * one.tensors[b].float() for weight, one in parts], 1)
        narrow = torch.cat([one.tensors[a].float() for _, one in parts])
        # The sum is never formed: its singular values are those of the two small triangles' product.
        outer, left = torch.linalg.qr(wide)
        inner, right = torch.linalg.qr(narrow.T)
        u, values, v = torch.linalg.svd(left @ right.T)
        total += float(values.square().sum())
        lost += float(values[rank:].square().sum())
        root = values[:rank].sqrt()
        tensors[b] = outer @ u[:, :rank] * root / scale
        tensors[a] = root[:, None] * v[:rank] @ inner.T
    return {name: tensors[name] for name in first.tensors}, lost / total if total else 0.0


def about(parts: Weighted) -> dict[str, Any]:
    """The manifest: the first one's, and of each what it was made of."""
    first = parts[0][1].info
    told = [
        {"weight": weight, "sha256": one.sha256, **{name: one.info[name] for name in KEPT if name in one.info}}
        for weight, one in parts
    ]
    licences = dict.fromkeys(line for _, one in parts for line in one.info.get("licences", []))
    kept = {name: value for name, value in first.items() if name not in KEPT}
    return {**kept, "training": first["training"], "average": told, "licences": list(licences)}


if __name__ == "__main__":
    main()
