"""AdamW by PyTorch's own arithmetic. Its class would import its compiler: a second and 77 MB of each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.adamw import adamw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

EPSILON = 1e-8


class AdamW:
    """One learning rate, which may change between steps; parameters in groups that decay each at their own rate."""

    def __init__(
        self, groups: Iterable[tuple[list[nn.Parameter], float]], rate: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        """`groups`: parameters, and by which share of the rate they decay in a step."""
        self._groups = list(groups)
        self.rate = rate
        self._betas = betas
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}
        """`step`, `exp_avg` and `exp_avg_sq` of each parameter that has had a gradient."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameters, _ in self._groups:
            for parameter in parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Follow the gradients."""
        for parameters, decay in self._groups:
            learnt = [parameter for parameter in parameters if parameter.grad is not None]
            for parameter in learnt:
                if parameter not in self.state:
                    self.state[parameter] = {
                        "step": torch.tensor(0.0),
                        "exp_avg": torch.zeros_like(parameter),
                        "exp_avg_sq": torch.zeros_like(parameter),
                    }
            states = [self.state[parameter] for parameter in learnt]
            adamw(
                list(learnt),
                [parameter.grad for parameter in learnt if parameter.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                amsgrad=False,
                beta1=self._betas[0],
                beta2=self._betas[1],
                lr=self.rate,
                weight_decay=decay,
                eps=EPSILON,
                maximize=False,
            )
