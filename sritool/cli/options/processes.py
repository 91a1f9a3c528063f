"""How many processes share the work of a command, and on which devices."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options.models import DeviceOptions, device_option
from sritool.cli.options.values import duration
from sritool.errors import UsageError

if TYPE_CHECKING:
    import torch

    from sritool.processes import Place, Processes


@dataclass(frozen=True)
class ProcessOptions(DeviceOptions):
    """Where the work is done, and by how many processes.

    Attributes:
        gpu: Number of the CUDA device, like 0, or several, like 0,1,2: one process on each. Overrides --device.
        processes: Number of processes on this machine that share each batch, on CPUs or on the first GPUs.
            [default: 1, or one per --gpu]
        peer_timeout: With several processes, end if one does not answer for this long: 90s, 10m, 1h; a number alone
            is in seconds. [default: 10m]
    """

    gpu: Annotated[str | None, device_option(metavar="N[,N…]", envvar="SRITOOL_GPU")] = None
    processes: Annotated[int | None, device_option(min=1, envvar="SRITOOL_PROCESSES")] = None
    peer_timeout: Annotated[
        float, device_option(parser=duration, metavar="TIME", envvar="SRITOOL_PEER_TIMEOUT")
    ] = 600.0

    def devices(self, place: Place | None) -> list[torch.device]:
        """Return the device of each process on this machine; `place` is where this process is in a job, if any.

        Raises:
            UsageError: There are no such devices, or the number of processes is not that of --processes.
        """
        from sritool.model.device import devices_of_processes

        if place is not None and self.processes not in (None, place.local_size):
            raise UsageError(
                f"--processes is {self.processes}, but torchrun started {place.local_size} on this machine; "
                "leave --processes out"
            )
        return devices_of_processes(self.device, self.gpu, place.local_size if place else self.processes)

    def join(self, place: Place | None, device: torch.device) -> Processes:
        """Meet the other processes of a job, if there are any."""
        from sritool.process_group import join

        return join(place, device, self.peer_timeout)

    def enough_threads(self, hidden: int, processes: int) -> int | None:
        """Return the number of CPU threads for one of several processes on this machine; None: PyTorch's choice.

        Args:
            hidden: Width of the generator.
            processes: Number of processes on this machine.
        """
        from sritool.model.device import enough_threads, threads_of_process

        return self.threads or enough_threads(hidden) or threads_of_process(processes)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[str]:
        """Yield the device's full name; within, the processes of a job share every measurement.

        If several processes are asked for and the job has not started, this process starts it, and ends with it. Only
        the first process prints and writes.

        Raises:
            UsageError: There are no such devices.
            typer.Exit: The job has ended.
        """
        from sritool.cli.job import ending_together, launch
        from sritool.cli.streams import silent
        from sritool.model.device import set_threads, threads_of_process
        from sritool.processes import place_in_job, sharing_measurements

        place = place_in_job()
        devices = self.devices(place)
        if place is None and len(devices) > 1:
            raise typer.Exit(launch(len(devices), sys.argv[1:]))
        where = devices[place.local_rank if place else 0]
        set_threads(self.threads or threads_of_process(len(devices)))
        processes = self.join(place, where)
        with (
            ending_together(processes),
            sharing_measurements(processes),
            contextlib.nullcontext() if processes.is_first else silent(),
        ):
            yield str(where)
