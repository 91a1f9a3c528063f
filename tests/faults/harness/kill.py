"""Commands that are killed and started again, and what must hold after each kill and at the end.

After every kill each file is read whole. At the end all of it is bit for bit what an undisturbed process leaves, but
for clocks, and nothing else lies about. Training saves every second step, so that it is saving most of the time.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faults.harness import Broken
from faults.harness.killpoints import KILL_AT, STEPS, steps_in
from faults.harness.scene import (
    SAVE_EVERY,
    Job,
    preprocess,
    train,
    write_texts,
)
from faults.harness.zygote import Done, Zygote
from sritool.runs.checkpoint import load_checkpoint

KILLED = 137  # 128 + SIGKILL, as the shell has it


class Laboratory:
    """A folder with a corpus and a run, and processes in it."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder
        self.steps = folder / "steps"

    def do(self, command: tuple[object, ...], cwd: Path, **env: str) -> Done:
        """Run a command to its end, or its kill."""
        return self.zygote.run(command, cwd=cwd, env={STEPS: str(self.steps), **env})

    def must(self, command: tuple[object, ...], cwd: Path) -> Done:
        """Run it undisturbed. Raises: Broken if it fails."""
        done = self.do(command, cwd)
        if done.code:
            raise Broken(f"sritool {' '.join(map(str, command))} ended with {done.code}: {done.err.strip()}")
        return done


@contextlib.contextmanager
def laboratory(zygote: Zygote) -> Iterator[Laboratory]:
    """A place to kill in, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        lab = Laboratory(zygote, Path(name))
        base = lab.folder / "base"
        base.mkdir()
        write_texts(base)
        lab.must(preprocess(), base)
        lab.must(train("sri"), base)  # what the commands after training read
        yield lab


class Once:
    """One command, which is killed, and started again until it ends."""

    def __init__(self, lab: Laboratory, job: Job) -> None:
        self.lab, self.job = lab, job
        before = self.place()
        began = time.perf_counter()
        lab.must(job.command, before)
        self.seconds = time.perf_counter() - began
        self.expected = job.result(before)
        self.names = _names(before)
        shutil.rmtree(before)

    def place(self) -> Path:
        """A folder as it is before the command."""
        target = self.lab.folder / "place"
        shutil.copytree(self.lab.folder / "base", target)
        if self.job.name == "preprocess":
            shutil.rmtree(target / "data")
        if self.job.name.startswith("train"):
            shutil.rmtree(target / "runs", ignore_errors=True)
        self.lab.steps.unlink(missing_ok=True)
        return target

    def at_random(self, rng: random.Random, most: int) -> int:
        """Kill at random moments, up to so many times, and let it end; how many times it was."""
        place, kills, ended = self.place(), 0, False
        while kills < most and not ended:
            began = time.perf_counter()
            process = self.lab.zygote.start(self.command(kills), cwd=place, env={STEPS: str(self.lab.steps)})
            time.sleep(rng.uniform(0, self.seconds))
            with contextlib.suppress(ProcessLookupError):  # it has ended
                process.send(signal.SIGKILL)
            done, done_in = process.wait(), time.perf_counter() - began
            if done.code == KILLED:
                kills += 1
                self.survive(place)
            else:
                self.ended_well(done)
                ended = True  # before its moment came: it takes less time than was thought
                self.seconds = self.seconds if kills else min(self.seconds, done_in)
        self.finish(place, kills, ended)
        return kills

    def at_every_call(self, numbers: Iterator[int] | None = None) -> int:
        """Kill at one call after another, each time from the beginning; how many calls there are."""
        for kills, number in enumerate(numbers or itertools.count(1)):
            place = self.place()
            done = self.lab.do(self.command(0), place, **{KILL_AT: str(number)})
            if done.code != KILLED:
                self.ended_well(done)
                shutil.rmtree(place)
                return kills
            self.survive(place)
            self.finish(place, 1)
        return kills + 1

    def command(self, kills: int) -> tuple[object, ...]:
        return (*self.job.command, *(self.job.again if kills else ()))

    def ended_well(self, done: Done) -> None:
        if done.code:
            raise Broken(f"{self.job.name} ended with {done.code} after a kill: {done.err.strip()}")

    def survive(self, place: Path) -> None:
        """After a kill: every file is whole, and training has lost no more than what it had not saved."""
        self.job.whole(place)
        if self.job.name.startswith("train"):
            last = place / self.job.folder / "last.pt"
            saved = int(load_checkpoint(last).progress["step"]) if last.is_file() else 0
            lost = steps_in(self.lab.steps) - saved
            if lost > SAVE_EVERY:
                raise Broken(f"{self.job.name}: {lost} steps are lost by a kill, saved every {SAVE_EVERY}")

    def finish(self, place: Path, kills: int, ended: bool = False) -> None:
        """Let it end, if it has not: all is as if nothing had happened, and nothing lies about."""
        if not ended:
            self.ended_well(self.lab.do(self.command(kills), place))
        if self.job.result(place) != self.expected:
            raise Broken(f"{self.job.name} left something else after {kills} kills than without")
        if _names(place) != self.names:
            raise Broken(f"{self.job.name} left {sorted(_names(place) ^ self.names)} after {kills} kills")
        shutil.rmtree(place)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
