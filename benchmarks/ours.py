"""Our engine under measure beside peers: `engine.speed.ours`, and its divergence. Arguments: model folder, threads."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from benchmarks.divergence import divergence  # noqa: E402
from engine.lean import import_torch  # noqa: E402
from engine.speed import ours  # noqa: E402
from engine.speed.turns import answer  # noqa: E402
from engine.threads import wait_politely  # noqa: E402


class Ours(ours.Ours):
    """With what only a comparison asks for."""

    def kl(self, path: str) -> float:
        """From the float model's predictions in a file."""
        import numpy
        import torch

        known = numpy.load(path)
        with torch.inference_mode():
            ids = torch.tensor([known["ids"].tolist()], device=self.device)
            logits = self.model.logits(self.model(ids, self.cache())[0])
            return divergence(known["logits"], logits.float().cpu().numpy())


if __name__ == "__main__":
    wait_politely()
    import_torch(lean=True)  # counted as an import, not as loading

    answer(lambda: Ours.open(Path(sys.argv[1]), "cpu", int(sys.argv[2])), BEGUN)
