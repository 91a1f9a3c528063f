"""Short-run inference on one page of plain PyTorch (Pang, Nijkamp, Han and Wu 2021).

    python examples/short_run.py            # from a checkout: trains on data/tiny, then prints samples

`sritool train` runs the same algorithm several times faster, by default with another chain, and adds resume,
validation and eight other methods. A test checks that the chain and the gradients of this page equal those of
sritool.
"""

import math
import sys
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD, BOS, EOS = 0, 1, 2  # PAD and BOS are never predicted: the output layer has no row for them
STEP_SIZES = (0.32, 0.245, 0.18, 0.125) + (0.02,) * 6  # s_k: large ones first, then small ones to settle
TEMPERATURE = 0.4  # τ: below 1, z says more about its sentence


class Generator(nn.Module):
    """p(x|z): an LSTM that sees z in its initial state and with every word."""

    def __init__(self, vocabulary: int, embedding: int = 64, hidden: int = 128, latent: int = 16) -> None:
        super().__init__()
        self.latent = latent
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.initial = nn.Linear(latent, hidden)
        self.lstm = nn.LSTM(embedding + latent, hidden)
        self.output = nn.Linear(hidden, vocabulary - 2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def log_likelihood(self, tokens: Tensor, z: Tensor) -> Tensor:
        """log p(x|z): tokens [time + 1, batch] with BOS before and PAD after, z [batch, latent] → [batch]."""
        logits = self.output(self.states(tokens[:-1], z)[0])  # [time, batch, vocabulary − 2]
        losses = F.cross_entropy(
            logits.flatten(0, 1), tokens[1:].flatten() - 2, ignore_index=-2, reduction="none"
        )
        return -losses.view(tokens[1:].shape).sum(0)

    def states(
        self, inputs: Tensor, z: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Hidden states after inputs [time, batch], and the last state: [time, batch, hidden], ([1, …], [1, …])."""
        words = torch.cat((self.embedding(inputs), z.expand(len(inputs), -1, -1)), -1)
        first = self.initial(z)[None]  # h_0; the cell c_0 is 0
        return self.lstm(words, (first, torch.zeros_like(first)) if state is None else state)

    @torch.no_grad()
    def decode(self, z: Tensor, longest: int = 20) -> Tensor:
        """Greedy decoding, the likeliest word at each position: z [batch, latent] → [longest, batch]."""
        words, state = [torch.full((1, len(z)), BOS)], None
        for _ in range(longest):
            hidden, state = self.states(words[-1], z, state)
            words.append(self.output(hidden).argmax(-1) + 2)
        return torch.cat(words[1:])


def short_run(generator: Generator, tokens: Tensor, z: Tensor, noise: Tensor) -> Tensor:
    """K steps z ← z + s ∇ log p(x, z) + τ √(2s) ε: z [batch, latent], noise [K, batch, latent] → [batch, latent]."""
    for step_size, epsilon in zip(STEP_SIZES, noise, strict=True):
        z = z.detach().requires_grad_()
        log_joint = generator.log_likelihood(tokens, z) - 0.5 * z.square().sum(-1)
        (gradient,) = torch.autograd.grad(log_joint.sum(), z)
        z = z + step_size * gradient + TEMPERATURE * math.sqrt(2 * step_size) * epsilon
    return z.detach()


def loss_of(generator: Generator, tokens: Tensor, start: Tensor, noise: Tensor) -> Tensor:
    """Mean of −log p(x|z_K): if z_K came from p(z|x), its gradient in θ would be that of −log p(x)."""
    return -generator.log_likelihood(tokens, short_run(generator, tokens, start, noise)).mean()


def main(sentences: int = 6_400, epochs: int = 6, batch_size: int = 64) -> None:
    """Train on the first sentences of `tiny`, and print sentences decoded from draws of the prior."""
    torch.manual_seed(0)
    lines = (Path(__file__).parents[1] / "data/tiny/train.tsv").read_text(encoding="utf-8").splitlines()
    texts = [line.partition("\t")[2].split() for line in lines[:sentences]]
    words = ["<pad>", "<s>", "</s>", *Counter(word for text in texts for word in text)]
    ids = {word: index for index, word in enumerate(words)}
    data = [torch.tensor([BOS, *(ids[word] for word in text), EOS]) for text in texts]
    generator = Generator(len(words))
    optimizer = torch.optim.Adam(generator.parameters(), lr=3e-3)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(data)).split(batch_size):
            tokens = nn.utils.rnn.pad_sequence([data[index] for index in chosen], padding_value=PAD)
            drawn = torch.randn(len(STEP_SIZES) + 1, len(chosen), generator.latent)  # z_0 and every ε_k
            loss = loss_of(generator, tokens, drawn[0], drawn[1:])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(generator.parameters(), 5.0)
            optimizer.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1}: −log p(x|z) {total / len(data):.2f} nats a sentence", file=sys.stderr)
    for row in generator.decode(torch.randn(8, generator.latent)).T.tolist():
        print(" ".join(words[index] for index in row[: row.index(EOS) if EOS in row else None]))


if __name__ == "__main__":
    main()
