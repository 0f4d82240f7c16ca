"""Quick runs of every notebook under other processors' arithmetic: run with ``make test-wide``.

What a notebook computes differs a little between machines, and training amplifies it. So each is
run with the instructions of other processors, one thread and two, on real data and on stand-ins,
with three seeds: none may fail. A table of the headlines' accuracies shows the whole.
"""

import itertools
import os
import shutil
import sys
import time

import torch

from d2lhelpers.course import run
from d2lhelpers.course.notebooks import NotebookFailure, build_folder, notebooks

INSTRUCTIONS = {
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
    "own": {},
}
"""Environment that limits a process to a processor's instructions."""


def possible_instructions() -> dict[str, dict[str, str]]:
    """Those of ``INSTRUCTIONS`` that this machine has; others would kill the process."""
    levels = {"AVX2": ["AVX2"], "AVX512": ["AVX2", "AVX-512"]}
    possible = levels.get(torch.backends.cpu.get_cpu_capability(), [])
    return {name: INSTRUCTIONS[name] for name in [*possible, "own"]}


def main() -> int:
    """Run all combinations, a line for each as it ends; returns 1 if a notebook failed, else 0."""
    paths, failures = notebooks(), []
    columns = "".join(f"{path.stem[:2]:>10}" for path in paths)
    print(f"{'instructions':<13}{'threads':>7}  {'data':<10}{'seed':>4}{columns}{'seconds':>9}")
    for combination in itertools.product(
        possible_instructions(), ("1", "2"), ("real", "synthetic"), (0, 1, 2)
    ):
        instructions, threads, source, seed = combination
        copies = build_folder() / "wide" / "-".join(map(str, combination))
        variables = INSTRUCTIONS[instructions] | {"OMP_NUM_THREADS": threads}
        os.environ["D2L_RUNS"] = str(copies / "runs")
        start = time.perf_counter()
        jobs = run.quick_jobs(paths, source, {"SEEDS": [seed]})
        at_once = max(1, (os.cpu_count() or 1) // int(threads))
        results = list(run.quick_runs(jobs, copies, variables, at_once=at_once))
        cells = "".join(f"{_cell(result):>10}" for result in results)
        seconds = time.perf_counter() - start
        settings = f"{instructions:<13}{threads:>7}  {source:<10}{seed:>4}"
        print(f"{settings}{cells}{seconds:>9.0f}", flush=True)
        failed = [result for result in results if isinstance(result, NotebookFailure)]
        failures += failed
        if not failed:
            shutil.rmtree(copies)
    print(*failures, sep="\n", file=sys.stderr)
    print(f"{len(failures)} notebooks failed")
    return 1 if failures else 0


def _cell(result: run.Outcome | NotebookFailure) -> str:
    if isinstance(result, NotebookFailure):
        return "FAILED"
    headline = run.headline(result)
    return f"{headline.test_accuracy[-1]:.4f}" if headline else "-"


if __name__ == "__main__":
    sys.exit(main())
