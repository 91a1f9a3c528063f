"""What a prior fitted to the codes would gain in likelihood: a Gaussian, a mixture of Gaussians, a flow.

The generator is unchanged. Each density r is fitted to draws of p(z|x) for training sentences. Then log p(x) of
test sentences is estimated under r instead of N(0, I), from the same weighted draws, w · r(z) / p(z), so the
difference is due to the priors and not to the draws.

Usage: python -m benchmarks.fitted_prior runs/captions-sri [more runs] [--train 2000] [--limit 512] [--data-dir data]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

import sritool
from sritool.analysis.fitted_prior import REPEATS, posterior_draws
from sritool.data.sampling import seeded_choice
from sritool.data.store import find_corpus, load_corpus
from sritool.inference.langevin import log_prior
from sritool.likelihood.proposal import effective_sample_size
from sritool.training.new_method import training_split

LAYERS = 6  # couplings of the flow
WIDTH = 128
UPDATES = 2000

Density = Callable[[Tensor], Tensor]  # log r: [n, latent] → [n]


def mixture(codes: np.ndarray, components: int, form: str = "full") -> Density:
    """Fit a mixture of Gaussians by expectation maximisation."""
    fitted = GaussianMixture(components, covariance_type=form, reg_covar=1e-3, random_state=0).fit(codes)
    return lambda z: torch.from_numpy(fitted.score_samples(z.numpy()))


class Flow(nn.Module):
    """Affine couplings of alternating halves after whitening, from z to noise.

    Source: Dinh et al. 2017, "Density estimation using Real NVP".
    """

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        latent = codes.shape[1]
        self.location, self.root = codes.mean(0), torch.linalg.cholesky(codes.t().cov())
        mask = (torch.arange(latent) % 2).double()
        self.masks = [mask if layer % 2 else 1 - mask for layer in range(LAYERS)]
        inner = [nn.Linear(latent, WIDTH) for _ in range(LAYERS)]
        outer = [nn.Linear(WIDTH, 2 * latent) for _ in range(LAYERS)]
        for layer in outer:  # begins as the identity
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.maps = nn.ModuleList(nn.Sequential(a, nn.Tanh(), b) for a, b in zip(inner, outer, strict=True))
        self.double()

    def forward(self, z: Tensor) -> Tensor:
        """Return log r(z): [n, latent] → [n]."""
        white = torch.linalg.solve_triangular(self.root, (z - self.location).t(), upper=False).t()
        volume = -self.root.diagonal().log().sum().expand(len(z))
        for mask, layer in zip(self.masks, self.maps, strict=True):
            scale, shift = layer(white * mask).chunk(2, 1)
            scale = torch.tanh(scale) * (1 - mask)
            white = white * scale.exp() + shift * (1 - mask)
            volume = volume + scale.sum(1)
        density: Tensor = log_prior(white) + volume
        return density


def flow(codes: np.ndarray) -> Density:
    """Fit a flow by Adam; keeps its best state on a fifth of the sentences, which is held out."""
    torch.manual_seed(0)
    data = torch.from_numpy(codes).view(-1, REPEATS, codes.shape[1])
    held = data[: len(data) // 5].flatten(0, 1)
    seen = data[len(data) // 5 :].flatten(0, 1)
    model = Flow(seen)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-4)
    best, state = -math.inf, model.state_dict()
    for update in range(UPDATES):
        if update % 50 == 0:
            with torch.no_grad():
                score = float(model(held).mean())
            if score > best:
                best, state = score, {name: value.clone() for name, value in model.state_dict().items()}
        optimiser.zero_grad()
        (-model(seen[torch.randint(len(seen), (256,))]).mean()).backward()
        optimiser.step()
    model.load_state_dict(state)
    return torch.no_grad()(model)


PRIORS: dict[str, Callable[[np.ndarray], Density]] = {
    "N(0, I)": lambda _: log_prior,
    "Gaussian, diagonal": lambda codes: mixture(codes, 1, "diag"),
    "Gaussian": lambda codes: mixture(codes, 1),
    "mixture of 4": lambda codes: mixture(codes, 4),
    "mixture of 16": lambda codes: mixture(codes, 16),
    "flow": flow,
}


def main() -> None:
    """Print one row per run and prior."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--train", type=int, default=2000, help="number of training sentences to fit to")
    parser.add_argument("--limit", type=int, default=512, help="number of test sentences")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    given = parser.parse_args()
    print("run\tprior\tnll\t− N(0, I)\tse of that\tess", flush=True)
    for run in given.runs:
        model = sritool.load(run)
        folder = find_corpus(model.checkpoint.corpus.name, given.data_dir)
        assert folder is not None, given.data_dir
        corpus = load_corpus(folder)
        train, test = training_split(corpus, model.checkpoint.config), corpus.split("test")
        codes = posterior_draws(model, train, seeded_choice(len(train), given.train), 0, REPEATS).codes
        flat = codes.transpose(0, 1).flatten(0, 1).numpy()  # the draws of a sentence side by side
        z, log_weights, _ = posterior_draws(model, test, seeded_choice(len(test), given.limit))
        base = torch.logsumexp(log_weights, 0)
        for name, fit in PRIORS.items():
            density = fit(flat)
            own = density(z.flatten(0, 1)).view_as(log_weights)
            moved = log_weights + own - log_prior(z)
            gain = torch.logsumexp(moved, 0) - base
            nll = math.log(len(z)) - torch.logsumexp(moved, 0)
            error = float(gain.std() / math.sqrt(len(gain)))
            size = float(effective_sample_size(moved).mean())
            cells = (f"{nll.mean():.3f}", f"{-gain.mean():+.3f}", f"{error:.3f}", f"{size:.1f}")
            print(run.name, name, *cells, sep="\t", flush=True)


if __name__ == "__main__":
    main()
