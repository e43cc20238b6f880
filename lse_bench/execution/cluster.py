"""The executor on a Ray cluster: one actor for each worker. Placement, autoscaling and restarts are Ray's.

Files must be visible to every node under the same path. A folder that a node lacks is reported as missing clips.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.execution.dispatch import Dispatcher
from lse_bench.execution.interface import R, T, Task, Watch, Work
from lse_bench.execution.settings import Settings, settings, take
from lse_bench.execution.stream import Reply, Stream
from lse_bench.media.under_way import VARIABLE
from lse_bench.processor import usable_cores
from lse_bench.versions import installed, require

LOCAL = "local"
_MOST = 10_000  # actors


@dataclass(frozen=True, slots=True)
class Actors:
    """The actors to ask for. `count`: their number. `gpus`: what each reserves of a GPU, 0 for none."""

    count: int
    gpus: float

    def in_words(self) -> str:
        """Return the actors in words, for records."""
        share = "" if self.gpus in (0, 1) else f" ({self.gpus:g} of a GPU each)"
        return f"ray: {self.count} x {'cuda' if self.gpus else 'cpu'}{share}"


def parse_actors(text: str, resources: dict[str, float]) -> Actors:
    """Return the actors that `--devices` asks for on a cluster.

    `text`: `gpu:N` for N GPUs, `gpu:NxM` for M actors on each of N GPUs, `cpu:N` for N actors with one core each, or
    `all` for what the cluster has now. `resources`: what the cluster has now. A cluster may be asked for more than it
    has now, because it may grow. Raises UsageError if the text has another form.
    """
    if text.strip() == "all":
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        if not gpus and not cores:
            raise UsageError("--devices all: the cluster has neither a GPU nor a core now. Say how many, as in gpu:8")
        text = f"gpu:{gpus}" if gpus else f"cpu:{cores}"
    found = re.fullmatch(r"(gpu|cpu):([0-9]{1,5})(?:x([0-9]{1,3}))?", text.strip())
    if found is None or (found[1] == "cpu" and found[3]):
        raise UsageError(
            f"--devices {text}: on a cluster, write all, gpu:8 (eight GPUs), gpu:8x4 (four actors on each) or cpu:64"
        )
    each = int(found[3] or 1)
    count = int(found[2]) * each
    if not 0 < count <= _MOST:
        raise UsageError(f"--devices {text}: this asks for {count} actors; 1 to {_MOST} are possible")
    return Actors(count, 1 / each if found[1] == "gpu" else 0.0)


class Cluster:
    """Actors on a Ray cluster."""

    def __init__(self, address: str, devices: str) -> None:
        """Join the cluster.

        `address`: that of a cluster, `auto` for the one that this machine belongs to, or `local` to start one here.
        `devices`: see `parse_actors`. Raises UsageError if Ray is not installed or the cluster cannot be reached.
        """
        require("ray", "ray", "--ray")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        if not ray.is_initialized():
            where: dict[str, Any] = {"address": address}
            if address == LOCAL:
                where = {"address": LOCAL, "num_cpus": usable_cores(), "include_dashboard": False}
            try:
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise UsageError(
                    f"--ray {address}: the cluster cannot be reached: {str(error).splitlines()[0]}. Check the address, "
                    "or pass --ray local to start Ray on this machine"
                ) from None
        self._asked = parse_actors(devices, ray.cluster_resources())  # type: ignore[no-untyped-call]
        self.devices = self._asked.in_words()
        self._actors: list[_Actor] = []

    def run(self, work: Work[T, R], tasks: Sequence[Task[T]], watch: Watch) -> Iterator[tuple[int, R]]:
        for number in range(len(self._actors), min(self._asked.count, max(1, len(tasks)))):
            self._actors.append(_Actor(number + 1, self._asked.gpus))
        for actor in self._actors:
            actor.work = work
        return Dispatcher(self._actors, tasks, work.lost, watch).run()

    def close(self) -> None:
        """End the actors, so that the cluster has their resources again."""
        for actor in self._actors:
            actor.end()


class _Actor:
    """One actor, which Ray starts again after its death or that of its node. `work`: what it does after `start`."""

    work: Work[Any, Any]

    def __init__(self, number: int, gpus: float) -> None:
        self.label = f"ray#{number}"
        self._gpus, self._device = gpus, "cuda" if gpus else "cpu"
        self._actor: Any = None

    def start(self) -> Future[BaseException | None]:
        import ray

        if self._actor is None:
            kind = ray.remote(num_cpus=1, num_gpus=self._gpus, max_restarts=-1, max_task_retries=0)(_Remote)
            self._actor = kind.remote(str(Path.cwd()), installed("lse-bench") or "")
        future: Future[BaseException | None] = self._actor.start.remote(self.work, self._device, settings()).future()
        return future

    def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
        future: Future[Reply] = self._actor.exchange.remote(list(tasks)).future()
        return future

    def why_dead(self, error: BaseException) -> str | None:
        from ray.exceptions import RayError

        if not isinstance(error, RayError):
            return None
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def rest(self) -> None:
        if self._actor is not None:
            self._actor.rest.remote()

    def end(self) -> None:
        import ray

        if self._actor is not None:
            ray.kill(self._actor, no_restart=True)
            self._actor = None


class _Remote:
    """What runs in the process of an actor."""

    def __init__(self, folder: str, version: str) -> None:
        os.environ.pop(VARIABLE, None)
        if Path(folder).is_dir():  # relative names mean the same as in the command
            os.chdir(folder)
        self._asked = version
        self._stream: Stream | None = None

    def start(self, work: Work[Any, Any], device: str, given: Settings) -> BaseException | None:
        here = installed("lse-bench") or ""
        if here != self._asked:
            return LseBenchError(
                f"{os.uname().nodename} has lse-bench {here}, and the command {self._asked}. Install one version "
                "everywhere"
            )
        self.rest()
        take(given)
        self._stream, error = Stream.begin(work, device)
        return error

    def rest(self) -> None:
        if self._stream is not None:
            self._stream.stop()
        self._stream = None

    def exchange(self, tasks: Sequence[Task[Any]]) -> Reply:
        assert self._stream is not None
        return self._stream.exchange(tasks)
