"""Refusals: one line that says what to do, the right exit code, and no file created or changed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shlex
from pathlib import Path

import pytest
import torch

from sritool.runs.untrusted_file import save_values
from support.tables import Run

TRAIN = ["train", "mine", "--config", "small.toml", "--no-summary"]


def modification_times() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


def assert_refused(
    run: Run, args: list[object], code: int, *parts: str, stdin: str | bytes | None = None
) -> None:
    """Check the exit code, for one line with `parts` on stderr and an empty stdout, and that no file changed."""
    before = modification_times()
    result = run(*args, stdin=stdin)
    assert result.exit_code == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert all(part in lines[0] for part in parts), lines[0]
    assert result.stdout == ""
    assert modification_times() == before


REFUSED = r"""
2 | train | NAME: a value is missing
2 | train --resume mine | give NAME before --resume
2 | train --resume | NAME: a value is missing
3 | train --resume nowhere | no checkpoint nowhere
2 | train tinny | did you mean tiny?
2 | train zzz | preprocess FILE
2 | train mine.txt | sritool preprocess mine.txt
2 | TRAIN --gpu first | --gpu 'first'
2 | TRAIN --device foo | --device 'foo' is unknown
2 | TRAIN --threads 0 | --threads
2 | TRAIN --threads 100000 | 1024
2 | TRAIN --method sry | did you mean sri?
2 | TRAIN --method vae | did you mean one of vae-anneal, vae-cyclical, vae-lagging, vae-fbp, vae-fb?
2 | TRAIN --refine-steps 4 | no option --refine-steps here; it belongs to sritool evaluate
2 | TRAIN --preset tny | did you mean tiny?
2 | TRAIN --sampler papers | did you mean paper?
2 | TRAIN --sampler paper -m lm | no use for --sampler
3 | TRAIN -m vae-fb --from runs/nothere | no such run
2 | TRAIN -m ae --pretraining-epochs 2 | no use for --pretraining-epochs
2 | TRAIN -m lm --set training.language_model=0.5 | has no z; leave training.language_model out
2 | TRAIN -m vae-fb --from runs/mine-lm --set training.language_model=0.5 | takes over weights begins with z
2 | TRAIN -m ae --set kl.epochs=3 | no use for kl.epochs
2 | TRAIN -m vae-fb --resume mine-lm | method lm, not vae-fb
2 | TRAIN --latent 3 -m lm | method lm has no z
2 | TRAIN --epochs 0 | training.epochs is 0
2 | TRAIN --max-steps 0 | --max-steps
2 | TRAIN --max-time soon | length of time
2 | TRAIN --name ../up | cannot name a run
2 | TRAIN --set sampler.steps | --set sampler.steps=10
2 | TRAIN --set sampler.step=3 | did you mean sampler.steps?
2 | TRAIN --set sampler.steps=many | 'many'
2 | TRAIN --tune-step-every -1 | tune_step_every
2 | TRAIN --method lm --tune-step-every 1 | leave --tune-step-every (training.tune_step_every) out
2 | TRAIN --freeze generator --dry-run | leaves nothing to train
2 | TRAIN --from mine-lm --embedding 7 --dry-run | leave these sizes out
2 | TRAIN --resume runs/mine-sri --hidden 32 | start a new run without --resume
2 | TRAIN --resume runs/mine-sri --seed 5 | training.seed 0, not 5
2 | TRAIN --resume runs/mine-sri --method lm | method sri, not lm
2 | TRAIN --resume runs/mine-sri --name mine-sri | --name is for a new run
2 | TRAIN --resume runs/mine-sri/best.pt | --resume runs/mine-sri
3 | TRAIN --resume nowhere | no checkpoint nowhere
3 | train other --resume mine-sri | sritool train mine --resume runs/mine-sri
2 | train mine --config nowhere.toml | nowhere.toml
2 | train mine --config mine.txt | mine.txt
2 | train mine --config recipe.toml | give --recipe recipe.toml
2 | train mine --recipe small.toml | train --config small.toml
2 | tune mine --over sampler.steps=2,3 --recipe small.toml | like [all.training]
2 | score mine-lm mine.txt | --text FILE
2 | evaluate mine-lm --metrics ppl-word | give ppl, which shows it if tokens are pieces of words
2 | evaluate mine-lm --metrics ppl,posteriorkl | did you mean posterior-kl?
2 | evaluate mine-lm --metrics , | give some of ppl
2 | evaluate mine-lm --text mine.txt --split test | leave it or --text out
2 | evaluate mine-lm --split tests | did you mean 'test'?
2 | evaluate mine-lm --limit 0 | --limit
2 | evaluate mine-lm --estimator adaptative | did you mean adaptive?
2 | evaluate mine-lm mine-sri --estimator encoder | not sri
2 | evaluate mine-sri mine-lm --estimator exact | not sri
2 | evaluate mine-lm --memory much | amount of memory
2 | recipes --preset ptb | name it, or leave them out
2 | reproduce table1 --methods , | --methods names none
2 | fit-prior mine-sri --force | give --write NEW.pt
2 | preprocess table.csv --label-column a --no-labels --name other | leave one of them out
2 | evaluate mine-lm --text= | is a folder, not a file
2 | evaluate mine-lm --certify 4 | method lm has no z
2 | evaluate mine-lm --certify 4 --curve | --certify
2 | evaluate mine-sri --certify 4 --text nosuch.txt | leave --text out
2 | evaluate mine-sri --certify 4 --limit 3 | leave --limit out
2 | evaluate mine-sri --certify 4 --split valid | leave --split out
2 | evaluate mine-sri --curve --per-sentence | leave --per-sentence out
2 | evaluate mine-sri --curve --metrics recon | leave --metrics out
2 | evaluate mine-sri --estimator sri --pilots 7 | leave --pilots out
2 | evaluate mine-sri --rungs 3 | leave --rungs out
2 | evaluate mine-lm --certify 4 --estimator ais | --certify is for adaptive
2 | evaluate mine-sri --refine-steps 3 | leave --refine-steps out
2 | evaluate mine-sri --refine svi | give --refine-steps as well
2 | evaluate mine-sri --refine-rate 0.1 | give --refine-steps as well
2 | evaluate mine-sri --refine-steps 3 --refine hmc | 'svi', 'langevin'
2 | evaluate mine-sri --refine-steps 3 --refine-rate 0 | give more than 0
2 | evaluate mine-sri --refine-steps 3 --certify 4 | leave --refine-steps out
3 | evaluate mine-lm --text nowhere.txt | no such file: nowhere.txt
3 | evaluate nowhere.pt | no checkpoint nowhere.pt
2 | compare mine-lm --metrics pppl | did you mean ppl
2 | compare mine-lm --metrics , | no column to show
2 | compare mine-lm --metrics ppl --sort au | no column 'au' to sort by
2 | compare mine-lm --estimator ow | did you mean own
3 | compare mine-lm no-such-run | no checkpoint no-such-run
3 | score mine-sri --text nowhere.txt | no such file: nowhere.txt
3 | score mine-sri --text table.csv | call the column of the text 'text'
3 | info --runs-dir none | sritool train tiny
2 | sample mine-sri --temperature 0 | more than 0
2 | sample mine-sri --top-p 2 | 0 < p <= 1
2 | sample mine-sri -n 0 | --n
2 | sample mine-sri --greedy --top-k 5 | leave it or --greedy out
2 | sample mine-sri --beam 3 --top-p 0.5 | leave it or --top-p out
2 | sample mine-sri --beam 3 --ancestral | leave it or --ancestral out
2 | sample mine-sri --codes mine.txt -n 3 | leave -n out
2 | sample mine-sri --metrics distinct | did you mean one of distinct-1, distinct-2?
2 | sample mine-sri --reference | --metrics
2 | sample mine-sri --text mine.txt | --reference
2 | sample mine-lm --codes mine.txt | method lm has no z
3 | sample mine-sri --codes none.npy | none.npy
3 | sample data | no best.pt or last.pt in data
2 | interpolate mine-sri --points 1 | --points
2 | interpolate mine-sri --between a | --between takes two sentences
2 | interpolate mine-sri --between a -q | --between takes two sentences
2 | interpolate mine-sri --between a b --text mine.txt | --between and --text
2 | interpolate mine-sri --between a b -n 3 | --between and -n
2 | interpolate mine-sri --chains 5 | --chains is for codes of sentences
2 | interpolate mine-lm | method lm has no z
3 | interpolate mine-sri --text none.txt | none.txt
2 | encode mine-lm --text mine.txt | method lm has no z
2 | encode -o none/codes.npy none | -o none/codes.npy cannot be written
2 | encode mine-sri -o codes.npy -f tsv | contradict
2 | encode mine-sri -o codes.TSV -f npy | give --format tsv
2 | encode mine-sri -o codes.tsv -f latex | latex
2 | encode mine-sri --chains 0 | --chains
2 | encode mine-sri --mean --chain-dropout --text mine.txt | --chain-dropout applies only to chains with noise
2 | encode mine-sri -f pickle | --format
2 | decode mine-lm | method lm has no z
3 | decode mine-sri --codes none.npy | no such file: none.npy
2 | noisy-recon mine-lm | method lm has no z
2 | noisy-recon mine-sri --k two | not a list of whole numbers
2 | noisy-recon mine-sri --noise typos | 'swap', 'drop', 'replace'
2 | noisy-recon mine-sri --noisy none.tsv --noise swap | leave --noise
2 | noisy-recon --write-noisy none/noisy.tsv none | --write-noisy none/noisy.tsv cannot be written
3 | noisy-recon mine-sri --noisy none.tsv | no such file: none.tsv
2 | classify mine-lm | method lm has no z
2 | classify mine-sri train.tsv | give labelled sentences with --labelled
2 | classify mine-sri --text-column X --label-column Y | --text-column is for the files of --labelled
2 | classify mine-sri --labels ten | not a list of whole numbers
2 | classify mine-sri --kernel cubic | --kernel
2 | classify mine-sri --valid valid.tsv --no-zero | --valid is for clusters
2 | classify mine-sri --pca 2 --labels 10 | --pca is for clusters
2 | classify mine-sri --labels 10 --naming authors | --naming is for clusters
2 | classify mine-sri --labels 10 --train-sentences 5 | --train-sentences is for clusters
2 | classify mine-sri --kernel rbf --labels 0 | --kernel is for learning from labels
2 | classify mine-sri --labelled train.tsv --labels 0 | --labelled is for learning from labels
3 | classify mine-sri | no labels in test
3 | classify mine-sri --labelled none.tsv --test none.tsv | no such file: none.tsv
2 | tune-step mine-lm | method lm has no chain
2 | tune-step mine-sri --grid a,b | --grid a,b
2 | tune-step mine-sri --grid 0,0.1 | positive
2 | tune-step mine-sri --range 0.1:0.2 | --range '0.1:0.2'
2 | tune-step mine-sri --range 0.2:0.1:3 | LOW < HIGH
2 | tune-step mine-sri --range 0.1:0.2:1000000000 | COUNT
2 | tune-step mine-sri --range nan:0.1:3 | LOW < HIGH
2 | tune-step mine-sri --range 0.1:0.2:3 --grid 1 | leave one out
2 | tune-step mine-sri --shape round | 'round'
2 | tune-step mine-sri --objective elbo | 'entropy', 'given-noise'
2 | tune-step mine-sri --chains 4 | --chains of at least 5
2 | tune-step mine-sri --temperature -1 | 0 or more
2 | tune-step mine-sri --text mine.txt --split test | leave it or --text out
2 | tune-step mine-sri --write runs/mine-sri/best.pt --force | is the checkpoint itself
2 | tune-step mine-sri --plot curve.bmp | .png, .svg or .pdf
3 | tune-step mine-sri --text empty.txt | empty.txt
2 | fit-prior runs/mine-lm | has no z
4 | tune-step mine-sri --grid 1e30 --chains 8 --limit 2 -q | diverge
2 | plot cruves | curves
2 | plot curves -o a.jpg | .png, .svg or .pdf
2 | plot curves --metrics nnl | there are: nll
2 | plot curves mine-lm --data x.tsv | --data
2 | plot ppl-draws mine-sri --metric au | 'ppl', 'nll'
2 | plot ppl-draws mine-lm --estimators svi | 'svi'
2 | plot traversal mine-sri --dims 1,x | --dims 1,x
2 | plot rate-distortion mine-sri --chains 1 | --chains:
2 | plot curves --metrics , | --metrics has no name
2 | plot traversal mine-sri --dims 5 | 1 to 4
2 | plot traversal mine-lm | method lm has no z
2 | plot latent mine-sri --limit 2 | 20 sentences or more
2 | plot latent mine-lm | method lm has no z
2 | plot tune-step mine-lm | method lm has no chain
2 | plot noisy-recon mine-lm | method lm has no z
3 | plot curves none | no checkpoint none
3 | plot curves --runs-dir none | no run in none/
3 | plot curves --data none.tsv | cannot read none.tsv
3 | plot tune-step --data mine.txt | mine.txt
3 | plot frontier none | no checkpoint none
2 | report mine-sri -o missing/page.html | -o missing/page.html cannot be written
2 | recipes publishd | did you mean published?
2 | recipes ours --preset pbt | did you mean ptb?
2 | preprocess ptbb | did you mean ptb?
2 | preprocess tiny --name a/b | cannot name a corpus
2 | preprocess ptb --tokenizer bpe | use --tokenizer word
2 | preprocess ptb --from nowhere | no such folder
2 | preprocess | nothing to prepare
2 | preprocess tiny --max-length 0 | --max-length
2 | preprocess tiny --tokenizer letters | --tokenizer
3 | preprocess empty.txt --name m | empty.txt
3 | preprocess missing.txt --name m | no such file: missing.txt
3 | preprocess ptb --from data | ptb.train|valid|test.txt
1 | preprocess snli | sritool preprocess snli --from DIR
1 | preprocess tiny --data-dir mine.txt | --data-dir
"""
"""Exit code, command line, and a part of the error message."""


@pytest.mark.parametrize("row", REFUSED.strip().splitlines())
def test_refusal_is_one_line(run: Run, row: str) -> None:
    code, words, part = row.split(" | ", 2)
    Path("empty.txt").touch()
    Path("table.csv").write_text("id,comment\n" + "".join(f"{row},a b c {row}\n" for row in range(20)))
    Path("recipe.toml").write_text("[all.training]\nepochs = 2\n")
    assert_refused(run, shlex.split(words.replace("TRAIN", " ".join(TRAIN))), int(code), part)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("words", [TRAIN, ["evaluate", "mine-lm"]])
def test_missing_gpu(run: Run, words: list[object]) -> None:
    assert_refused(run, [*words, "--gpu", "0"], 2, "--gpu 0", "--device cpu")


@pytest.mark.parametrize(
    ("words", "stdin", "part"),
    [
        ("sample mine-sri --codes -", "", "standard input is empty"),
        ("sample mine-sri --codes -", "0.1 0.2\n", "standard input line 1"),
        ("decode mine-sri", "1 2 3\n", "standard input line 1 has 3 columns"),
        ("interpolate mine-sri --text -", "a\tb\nno pair\n", "standard input line 2"),
        ("score mine-lm", "", "standard input is empty"),
        ("evaluate mine-lm --text -", "a\0b\n", "standard input line 1 has a NUL byte"),
        (
            "score mine-lm",
            gzip.compress(b"a b\n", mtime=0),
            "unpack it in the pipe: … | gunzip -c | sritool …",
        ),
        ("preprocess - --name m", bz2.compress(b"a b\n"), "… | bunzip2 -c | sritool …"),
        ("preprocess - --name m", lzma.compress(b"a b\n"), "… | unxz -c | sritool …"),
        (
            "preprocess - --name m",
            "a b .\n" * 500,
            "500 times, too few to cut valid and test from it; give a text with",
        ),
        ("preprocess - --name m", "a b\n" * 9 + "c\n", "2 different sentences in 10 lines"),
        ("preprocess - --name m", '{"text": "a b"}\n' * 9, "--input-format jsonl"),
        ("preprocess - --name m --no-labels", '{"text": "a b"}\n' * 9, "--input-format jsonl"),
        ("preprocess - --name m", "id,Text,label\n" + "1,a b,0\n" * 9, "--input-format csv"),
        ("preprocess - --name m", "text\tlabel\n" + "a b\t0\n" * 9, "--input-format tsv"),
    ],
)
def test_bad_standard_input(run: Run, words: str, stdin: str | bytes, part: str) -> None:
    assert_refused(run, words.split(), 3, part, stdin=stdin)


@pytest.mark.parametrize("command", ["evaluate", "resume"])
@pytest.mark.parametrize("content", ["", "the otter finds the kettle\n", "half"])
def test_file_that_is_not_a_checkpoint(run: Run, command: str, content: str) -> None:
    path = Path("runs/mine-sri/last.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content.encode())
    args: list[object] = [*TRAIN, "--resume", "runs/mine-sri"] if command == "resume" else [command, path]
    assert_refused(run, args, 3, str(path), "is not a sritool checkpoint", "give a .pt file")


@pytest.mark.parametrize(("runs", "code"), [("blocked", 2), ("blocked/below", 2), ("/proc", 1)])
def test_unwritable_runs_folder(run: Run, runs: str, code: int) -> None:
    if runs == "/proc" and not Path("/proc/version").exists():
        pytest.skip("needs a folder that nobody can write to")
    Path("blocked").write_text("a file")
    assert_refused(run, [*TRAIN, "--runs-dir", runs], code, "cannot make the run folder", "--runs-dir")


def test_corpus_changed_since_training(run: Run) -> None:
    assert run("preprocess", "other.txt", "--name", "mine", "--force").exit_code == 0
    assert_refused(run, ["evaluate", "mine-sri"], 3, "is not the one that", "prepare that one again")
    args: list[object] = [*TRAIN, "--resume", "runs/mine-sri", "--epochs", "3"]
    assert_refused(
        run, args, 3, "corpus mine is not the one that runs/mine-sri was trained on", "start a new run"
    )


def test_missing_corpus(run: Run) -> None:
    values = torch.load("runs/mine-sri/best.pt", weights_only=True)
    values["corpus"]["path"] = "/nowhere/mine"  # looked for there as well as in data/
    with Path("moved.pt").open("w+b") as file:
        save_values(values, file)
    assert run("evaluate", "moved.pt", "--metrics", "nll", "--limit", 2).exit_code == 0
    Path("data").rename("prepared")
    assert_refused(
        run, ["evaluate", "moved.pt"], 3, "corpus mine is not in data/", "preprocess", "--data-dir"
    )


def test_evaluate_refuses_runs_on_different_corpora(run: Run) -> None:
    given = ["--config", "small.toml", "-m", "lm", "--max-steps", 1, "--no-summary"]
    assert run("train", "other", *given).exit_code == 0
    assert_refused(
        run, ["evaluate", "mine-lm", "other-lm"], 3, "different corpora", "mine-lm: mine", "one by one"
    )


@pytest.mark.parametrize("resume", ["runs/mine-sri", "auto"])
def test_run_without_last_pt_cannot_be_resumed(run: Run, resume: str) -> None:
    Path("runs/mine-sri/last.pt").unlink()
    assert_refused(run, [*TRAIN, "--resume", resume], 2, "has no last.pt to go on from", "without --resume")


def test_damaged_corpus(run: Run) -> None:
    for path in Path("data/mine/train").glob("*.arrow"):
        path.write_bytes(b"nothing")
    assert_refused(run, list(TRAIN), 3, "data/mine/train is damaged", "sritool preprocess")


def test_text_that_is_not_utf8(run: Run) -> None:
    Path("latin.txt").write_bytes("the caf\xe9\n".encode("latin1"))
    for command in (["score", "mine-lm"], ["evaluate", "mine-lm"]):
        assert_refused(
            run, [*command, "--text", "latin.txt"], 3, "latin.txt is not UTF-8: line 1, byte 8", "iconv"
        )
