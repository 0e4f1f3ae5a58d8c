"""The worker for PyTorch: `nn.LSTM`, `nn.GRU`, and a straightforward UORO."""

import torch
from torch.nn.functional import cross_entropy, one_hot
from worker import answer, median_seconds

INPUTS = OUTPUTS = 10


def use_threads(threads: int) -> None:
    """Computes with a number of threads; 0 leaves the choice to PyTorch."""
    if threads:
        torch.set_num_threads(threads)


def bptt(cell: str, hidden: int, batch: int, steps: int, threads: int, seconds: float) -> dict[str, float]:
    """One update: a window forwards and backwards, and Adam; mean squared error on every step."""
    use_threads(threads)
    torch.manual_seed(0)
    memory, readout = getattr(torch.nn, cell)(INPUTS, hidden), torch.nn.Linear(hidden, OUTPUTS)
    optimizer = torch.optim.Adam([*memory.parameters(), *readout.parameters()], 1e-3)
    x, y = torch.randn(steps, batch, INPUTS), torch.randn(steps, batch, OUTPUTS)

    def update():
        optimizer.zero_grad()
        loss = ((readout(memory(x)[0]) - y) ** 2).mean()
        loss.backward()
        optimizer.step()

    taken = median_seconds(update, seconds)
    return {"seconds": taken, "tokens_per_second": batch * steps / taken}


class UORO:
    """Unbiased online recurrent optimisation of a GRU with a linear readout, one example, one update per step.

    Two backward passes pull back the credit of the loss and the noise ν; the tangent ∂F/∂s s̃ is forward differentiation
    (`torch.func.jvp`) or the difference (F(s + εs̃) − F(s)) / ε, as in the code of the method's authors.

    Reference: Tallec and Ollivier, *Unbiased online recurrent optimization*, ICLR 2018, algorithm 1.
    """

    def __init__(self, symbols: int, hidden: int, tangent: str):
        self.cell, self.readout = torch.nn.GRUCell(symbols, hidden), torch.nn.Linear(hidden, symbols)
        self.moving, self.reading = list(self.cell.parameters()), list(self.readout.parameters())
        self.optimizer = torch.optim.Adam([*self.moving, *self.reading], 3e-3)
        self.push = {"jvp": self.derivative, "difference": self.difference}[tangent]
        self.state, self.state_tilde = torch.zeros(1, hidden), torch.zeros(1, hidden)
        self.tilde = [torch.zeros_like(p) for p in self.moving]

    def derivative(self, x: torch.Tensor, state: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """∂F/∂s s̃ by forward differentiation."""
        return torch.func.jvp(lambda s: self.cell(x, s), (state,), (self.state_tilde,))[1]

    def difference(self, x: torch.Tensor, state: torch.Tensor, new: torch.Tensor, epsilon: float = 1e-3) -> torch.Tensor:
        """∂F/∂s s̃ by a finite difference with a step of length ε."""
        scale = epsilon / (_norm([self.state_tilde]) + 1e-7)
        return (self.cell(x, state + scale * self.state_tilde) - new) / scale

    def update(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step of the sequence, and one of Adam."""
        state = self.state.requires_grad_()
        new = self.cell(x, state)
        loss = cross_entropy(self.readout(new), y)
        credit, *direct = torch.autograd.grad(loss, [state, *self.moving, *self.reading], retain_graph=True)
        nu = torch.randint_like(new, 2) * 2 - 1
        noise = torch.autograd.grad(new, self.moving, nu)
        with torch.no_grad():
            each = (credit * self.state_tilde).sum()
            for p, g in zip([*self.moving, *self.reading], direct, strict=True):
                p.grad = g
            for p, tilde in zip(self.moving, self.tilde, strict=True):
                p.grad += each * tilde
            self.renew(self.push(x, state.detach(), new), nu, noise)
        self.optimizer.step()
        self.state = new.detach()
        return loss.detach()

    def renew(self, tangent: torch.Tensor, nu: torch.Tensor, noise: tuple[torch.Tensor, ...]) -> None:
        """s̃ ← ρ₀ ∂F/∂s s̃ + ρ₁ ν,  θ̃ ← θ̃/ρ₀ + νᵀ ∂F/∂θ / ρ₁."""
        rho0 = _ratio(_norm(self.tilde), _norm([tangent]))
        rho1 = _ratio(_norm(noise), _norm([nu]))
        self.state_tilde = rho0 * tangent + rho1 * nu
        self.tilde = [tilde / rho0 + new / rho1 for tilde, new in zip(self.tilde, noise, strict=True)]


def _norm(leaves):
    return torch.sqrt(sum((leaf * leaf).sum() for leaf in leaves))


def _ratio(above, below, epsilon=1e-7):
    return torch.sqrt(above / (below + epsilon)) + epsilon


def uoro(hidden: int, symbols: int, updates: int, tangent: str, threads: int, seconds: float) -> dict[str, float]:
    """UORO, one update a step, on uniformly random symbols that are drawn beforehand."""
    use_threads(threads)
    torch.manual_seed(0)
    learner = UORO(symbols, hidden, tangent)
    labels = torch.randint(symbols, (updates + 1,))
    x, y = one_hot(labels[:-1], symbols).float()[:, None], labels[1:, None]

    def train():
        return [learner.update(now, label) for now, label in zip(x, y, strict=True)]

    taken = median_seconds(train, seconds)
    return {"seconds": taken / updates, "loss": float(sum(train()) / updates)}


if __name__ == "__main__":
    answer(
        {
            "bptt": (bptt, {"cell": "LSTM", "hidden": 128, "batch": 32, "steps": 100, "threads": 0, "seconds": 4.0}),
            "uoro": (
                uoro,
                {"hidden": 64, "symbols": 4, "updates": 200, "tangent": "difference", "threads": 0, "seconds": 4.0},
            ),
        },
        "torch",
    )
