"""Checkpoints that are proper archives, but with values that no training ever produces."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch

from faults.harness.hostile_files import Hostile, saved

Values = dict[str, Any]
HUGE = 10**12
_DEEP: Any = "x"
for _ in range(60):
    _DEEP = [_DEEP]

# By path: values that no checkpoint has there.
_WRONG: dict[str, list[Any]] = {
    "format": ["something else", None, 1, ["sritool checkpoint"]],
    "version": [0, 2, 99, HUGE, "1", None, [1], "\x1b[2J"],
    "config": [None, [], "sri", {"generators": {}}, {1: 2}, {"x" * 100_000: 1}],
    "config.method": ["lm", "vae-fb", "exec", "", 3, None, "\x1b[31m\nexit 0", "../sri"],
    "config.generator": [None, 3, [8, 16, 4]],
    "config.generator.hidden": [HUGE, 1 << 62, 17, 0, -1, 16.0, "16", True, None],
    "config.generator.embedding": [HUGE, 9, -8],
    "config.generator.latent": [HUGE, 5, 0, -4],
    "config.generator.dropout": [1.5, -0.1, float("nan"), "0.5"],
    "config.sampler.steps": [HUGE, 0, -3, (1 << 62), "3"],
    "config.sampler.step_sizes": [[], [0.0], [-1.0], ["0.1"], [float("nan")], [float("inf")], [[0.1]], None],
    "config.sampler.temperature": [None, -1.0, {"start": 1.0}, {"start": 1.0, "end": -1.0}],
    "config.sampler.theta_gradient": ["middle", 1],
    "config.validation.likelihood.samples": [HUGE, 0, -1, 2.5],
    "config.validation.likelihood.pilots": [HUGE, 0],
    "config.validation.likelihood.modes": [HUGE, 0],
    "config.training.batch_size": [HUGE, 0, "many"],
    "config.training.seed": [-1, 0.5],
    "config.training.precision": ["float8"],
    "config.refinement.steps": [HUGE, 0],
    "config.optimizer.learning_rate": [0.0, -1.0, "fast"],
    "config.kl": [{"begin": 1}],
    "tokenizer": [None, [], {}, {"kind": "word"}, {"kind": "bpe"}],
    "tokenizer.kind": ["bpe", "unigram", "words", None, 3, ["word"]],
    "tokenizer.words": [None, [], "words", 3, {}, [1, 2, 3, 4]],
    "weights": [None, [], {}, 3, {"a": 1}],
    "corpus": [None, [], {}, "mine"],
    "corpus.name": [None, 3, ["mine"], "mine\nmine", "\x1b]0;title\x07", "x" * 10_000, "\ud800"],
    "corpus.path": [None, 3, ["data"], "a\0b", "x" * 10_000],
    "corpus.content_hash": [None, 3, "\x1b[2J"],
    "corpus.max_length": [-1, 0, 10**15, 9.5, "9", True, None],
    "corpus.lowercase": [None, 1, "yes"],
    "corpus.split_punctuation": [None, "no"],
    "progress": [None, [], {}],
    "progress.epoch": [-1, 1.5, "2", None, True, 1 << 60],
    "progress.step": [-1, "\x1b[2J", None],
    "progress.seconds": [-1.0, float("nan"), float("inf"), "long", None],
    "progress.pretraining": ["no", 1, None],
    "metrics": [None, {}, 3, [1], [None], [{}], [{"nll": 3.0}], [{"epoch": "1"}], [{"epoch": 1, "nll": [1.0]}],
                [{"epoch": 1, "nll": {"a": 1}}], [{"epoch": 1, "\x1b[2J": 1}], [{"epoch": 1, "a": "b\nc"}],
                [{"epoch": 1, "a": _DEEP}], [[{"epoch": 1}]], [{"epoch": 1, 3: 4}], [{"epoch": -1}],
                [{"epoch": 1, "step": 3}], [{"epoch": 1, "step": "3", "validation_seconds": 0.1}],
                [{"epoch": 1, "step": 3, "validation_seconds": "long"}]],
    "trainer": [[], 3, {}, {"optimizer": {}}, {"position": {}}, {"position": [], "optimizer": {}}],
    "trainer.method": [[]],
}  # fmt: skip
_RESUMED: dict[str, list[Any]] = {
    "trainer.position.epoch": [-1, 1.5, "2", None, 1 << 60],
    "trainer.position.batch": [-1, 0.5, None],
    "trainer.position.best": ["low", float("nan"), None],
    "trainer.position.recon": [float("nan"), float("inf"), "0"],
    "trainer.position.seconds": [-1.0, "long", float("nan")],
    "trainer.position.pretraining": [1, "no", None],
    "trainer.position.more": [1],
    "trainer.position.a\nb": [1],
    "trainer.optimizer": [{}, {"param_groups": []}],
    "trainer.optimizer.state": [
        None,
        [],
        {-1: {}},
        {"0": {}},
        {99: {}},
        {0: None},
        {0: {}},
        {0: {"step": 1}},
    ],
    "trainer.method": [{"aggressive": True}, {"a": "b"}, {"a": [1]}, {"\n": 1}],
}


def value_files(values: Values) -> Iterator[Hostile]:
    """Yield a file for each wrong value and each wrong tensor; `values` are those of an honest last.pt."""
    for only, wrong in (("", _WRONG), ("resume", _RESUMED)):
        for path, given in wrong.items():
            for number, value in enumerate(given):
                yield _file(values, f"{path} {number}", lambda v, p=path, x=value: put(v, p, x), only)
    for section in values:
        yield _file(values, f"without {section}", lambda v, s=section: v.pop(s))
    yield _file(values, "an extra section", lambda v: v.update(more=[1]))
    for section, keys in (("corpus", values["corpus"]), ("progress", ("epoch", "step", "seconds"))):
        for key in keys:
            yield _file(values, f"{section} without {key}", lambda v, s=section, k=key: v[s].pop(k))
    yield from _of_words(values)
    yield from _of_weights(values)
    yield from _of_optimizer(values)
    for name, value in (
        ("a tensor", torch.zeros(3)),
        ("a list", [1, 2]),
        ("a string", "x"),
        ("nothing", None),
    ):
        yield Hostile(f"{name} alone", saved(value))


def put(values: Values, path: str, value: Any) -> None:
    """Set the value at a path like config.generator.hidden."""
    *parents, last = path.split(".")
    for name in parents:
        values = values[name]
    values[last] = value


def _file(values: Values, name: str, change: Callable[[Values], Any], only: str = "") -> Hostile:
    changed = copy.deepcopy(values)
    change(changed)
    return Hostile(name, saved(changed), only)


def _of_words(values: Values) -> Iterator[Hostile]:
    def change(function: Callable[[list[Any]], Any]) -> Callable[[Values], None]:
        return lambda v: v["tokenizer"].update(words=function(v["tokenizer"]["words"]))

    wrong: dict[str, Callable[[list[Any]], Any]] = {
        "one word fewer": lambda w: w[:-1],
        "one word more": lambda w: [*w, "zephyr"],
        "a hundred thousand more": lambda w: [*w, *(f"w{n}" for n in range(100_000))],
        "a word twice": lambda w: [*w[:-1], w[-2]],
        "no special words": lambda w: w[4:] + w[:4],
        "a word of five megabytes": lambda w: [*w[:-1], "a" * 5_000_000],
        "a word with a space": lambda w: [*w[:-1], "two words"],
        "an empty word": lambda w: [*w[:-1], ""],
        "an escape sequence": lambda w: [*w[:-1], "\x1b[31mred"],
        "a control character of eight bits": lambda w: [*w[:-1], "\x9b31m"],
        "a lone surrogate": lambda w: [*w[:-1], "\ud83d"],
        "a number": lambda w: [*w[:-1], 7],
        "a list": lambda w: [*w[:-1], ["a"]],
    }
    for name, function in wrong.items():
        yield _file(values, f"words: {name}", change(function))
    models = {
        "empty": b"",
        "random": bytes(range(256)) * 9,
        "text": b"not a model",
        "claims": b"\x0a\xff\xff\xff\xff\x0f",
    }
    for name, model in models.items():
        for kind in ("bpe", "unigram"):
            octets = torch.tensor(list(model), dtype=torch.uint8)
            yield _file(
                values,
                f"{kind} model: {name}",
                lambda v, k=kind, o=octets: v.update(tokenizer={"kind": k, "model": o}),
            )
    yield _file(values, "model that is a string", lambda v: v.update(tokenizer={"kind": "bpe", "model": "x"}))
    yield _file(
        values, "model of floats", lambda v: v.update(tokenizer={"kind": "bpe", "model": torch.zeros(9)})
    )


def _of_weights(values: Values) -> Iterator[Hostile]:
    name = max(values["weights"], key=lambda key: values["weights"][key].numel())
    whole = values["weights"][name]
    others: dict[str, Any] = {
        "shorter": whole[:-1].clone(),
        "flat": whole.flatten(),
        "transposed": whole.t().contiguous(),
        "float64": whole.double(),
        "int64": whole.long(),
        "complex": whole.to(torch.complex64),
        "bfloat16": whole.bfloat16(),
        "bool": whole > 0,
        "NaN": whole.clone().fill_(float("nan")),
        "one NaN": whole.clone().index_fill_(0, torch.tensor([1]), float("nan")),
        "infinite": whole.clone().fill_(float("inf")),
        "octets": torch.zeros(4, dtype=torch.uint8),
        "a list": whole[0].tolist(),
        "a number": 1.0,
        "nothing": None,
    }
    for what, tensor in others.items():
        yield _file(values, f"weights {what}", lambda v, t=tensor: v["weights"].update({name: t}))
    yield _file(values, "weights without one", lambda v: v["weights"].pop(name))
    yield _file(values, "weights with one more", lambda v: v["weights"].update(more=torch.zeros(2)))
    yield _file(
        values,
        "weights of an encoder",
        lambda v: v["weights"].update({"encoder.to_code": torch.zeros(8, 16)}),
    )
    yield _file(
        values, "weights with a name of two lines", lambda v: v["weights"].update({"a\nb": torch.zeros(2)})
    )


def _of_optimizer(values: Values) -> Iterator[Hostile]:
    def state(change: Callable[[dict[str, Any]], Any]) -> Callable[[Values], Any]:
        return lambda v: change(v["trainer"]["optimizer"]["state"][0])

    wrong = {
        "a shape": state(lambda s: s.update(exp_avg=torch.zeros(3))),
        "NaN": state(lambda s: s["exp_avg"].fill_(float("nan"))),
        "negative squares": state(lambda s: s["exp_avg_sq"].fill_(-1.0)),
        "one tensor fewer": state(lambda s: s.pop("exp_avg")),
        "one tensor more": state(lambda s: s.update(more=s["exp_avg"])),
        "a list for a tensor": state(lambda s: s.update(exp_avg=[1.0])),
        "steps below 0": state(lambda s: s["step"].fill_(-1.0)),
    }
    for name, change in wrong.items():
        yield _file(values, f"optimizer with {name}", change, "resume")
