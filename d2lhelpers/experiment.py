"""An experiment: variants of a network, each at its own learning rate, over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from .arguments import check_makers, check_name, check_numbers, check_rates, check_seeds
from .data import ImageData
from .evaluation import predict
from .evidence import Verdict, judge
from .history import History
from .measures import Measure, Side
from .preflight import check_data, first_batches
from .randomness import random_state_kept
from .recipe import Trials, best_rate, must_be_whole, run_trials, train_by_protocol
from .results import table, variant_of
from .say import Text, is_at_prompt, say

if TYPE_CHECKING:
    import pandas

__all__ = ["Experiment", "find_rate", "run_experiment"]

EXTENSIONS = 3
"""How often a grid of learning rates is extended before its edge is taken."""


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Experiment(Mapping[str, list[History]]):
    """Trained variants by name: ``runs["plain"]`` are its histories, one a seed, in order.

    It displays itself as a table, a row for each variant; ``runs_a | runs_b`` is of both.
    ``rates`` has each variant's learning rate, ``nets`` its net as trained with the first seed.
    """

    runs: dict[str, list[History]]
    rates: dict[str, float]
    nets: dict[str, nn.Module]

    def __getitem__(self, variant: str) -> list[History]:
        return self.runs[variant]

    def __iter__(self) -> Iterator[str]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __or__(self, other: Experiment) -> Experiment:
        return Experiment(self.runs | other.runs, self.rates | other.rates, self.nets | other.nets)

    def judge(
        self,
        *claim: Side | str,
        by: Measure = "test_accuracy",
        margin: float = 0.0,
        learned: float = 0.2,
    ) -> Verdict:
        """``judge`` with variants by name, ``runs.judge("residual", ">", "plain")``.

        The noise between seeds is pooled over all variants of the experiment.

        Args:
            claim: names of variants, or numbers, and relations by turns.
            by, margin, learned: as for ``judge``.

        Raises:
            ValueError: there is no such variant, or as for ``judge``.
        """
        parts = list(claim)
        for i, side in enumerate(parts[::2]):
            if isinstance(side, str):
                if side not in self:
                    raise ValueError(
                        Text(
                            zh=f"没有变体 {side!r}；有 {', '.join(map(repr, self))}。",
                            en=f"there is no variant {side!r}; there are "
                            f"{', '.join(map(repr, self))}.",
                        )
                    )
                parts[2 * i] = self[side]
        return judge(*parts, by=by, margin=margin, learned=learned, noise=self.values())

    def table(self) -> pandas.DataFrame:
        """What each variant cost and where it ended, as ``table``, with its learning rate."""
        frame = table(self)
        frame.insert(0, "learning rate", [f"{self.rates[variant]:.3g}" for variant in self])
        return frame

    def __repr__(self) -> str:
        return self.table().to_string()

    def _repr_html_(self) -> str:
        return self.table().to_html()


def run_experiment(
    variants: Mapping[str, Callable[[], nn.Module]],
    data: ImageData,
    *,
    name: str,
    rates: Sequence[float],
    epochs: int,
    seeds: Sequence[int],
    central: Collection[str] | None = None,
) -> Experiment:
    """Train each variant with the course's recipe, at its own learning rate, over seeds.

    Before each net is made, torch is seeded. A run that diverges is a row like any other.

    Where a notebook's cell is stopped, the experiment of the whole runs before is returned, and
    the code after it goes on; in a script ``KeyboardInterrupt`` does, upwards.

    Args:
        variants: from a name to a function that makes the net, its weights initialised.
        data: with a validation set, on which rates are chosen; the test set is used once a run.
        name: "chapter/model"; the runs are named "chapter/model/variant".
        rates: the learning rates to try, each the same multiple of the one below, for a quarter of
            the epochs; the one of the highest validation accuracy is taken, and where it is at an
            edge, the grid is extended beyond it, three times at most.
        epochs: of each training, 1 or more.
        seeds: for the variants in ``central``; the others are trained with the first.
        central: the sides of the claim that matters; by default the first two variants.

    Raises:
        ValueError: no variant, no seed, an unknown name in ``central``, names that do not make
            "chapter/model/variant", or other arguments that cannot work.
    """
    check_makers(variants)
    seeds, rates = check_seeds(seeds), check_rates(rates)
    epochs, *_ = check_numbers(epochs, None, 0)
    central = list(variants)[:2] if central is None else central
    if not variants or not seeds or not set(central) <= variants.keys():
        raise ValueError(
            Text(
                zh="需要至少一个变体和一个种子，central 里是变体的名字；"
                f"得到变体 {list(variants)}，种子 {list(seeds)}，central {list(central)}。",
                en="expected at least one variant and one seed, and in central names of variants; "
                f"got the variants {list(variants)}, seeds {list(seeds)}, central {list(central)}.",
            )
        )
    for variant in variants:  # what is wrong is said before hours of training
        variant_of(check_name(f"{name}/{variant}"))
    try_nets(variants, data, seeds[0])
    done = Experiment({}, {}, {})
    try:
        for variant, make_net in variants.items():
            path = f"{name}/{variant}"
            rate = find_rate(make_net, data, rates, epochs=epochs // 4, seed=seeds[0], name=path)
            for seed in seeds if variant in central else seeds[:1]:
                torch.manual_seed(seed)
                net = make_net()
                run = train_by_protocol(net, data, epochs=epochs, lr=rate, seed=seed, name=path)
                must_be_whole(run, epochs)
                done.runs.setdefault(variant, []).append(run)
                done.nets.setdefault(variant, net)
                done.rates[variant] = rate
    except KeyboardInterrupt:
        if not _hand_over(done, list(variants)):
            raise
    return done


def try_nets(variants: Mapping[str, Callable[[], nn.Module]], data, seed: int) -> None:
    """Raises:
    ValueError: what a variant makes is no net, or one that cannot take the images.
    """
    with random_state_kept(torch.device("cpu")):
        check_data(data)
        X, y = list(first_batches(data).values())[-1]
        for variant, make_net in variants.items():
            torch.manual_seed(seed)
            try:
                predict(make_net(), [(X[:2], y[:2])])
            except Exception as error:
                raise ValueError(
                    Text(
                        zh=f"变体 {variant} 的网络用不了这些图像 {tuple(X.shape)}：{error}",
                        en=f"the net of the variant {variant} cannot take the images "
                        f"{tuple(X.shape)}: {error}",
                    )
                ) from error


def _hand_over(done: Experiment, variants: list[str]) -> bool:
    """After the stop button: say which runs are whole; whether ``run_experiment`` returns them."""
    if not done:
        return False
    is_returned = is_at_prompt()
    count, missing = sum(map(len, done.values())), ", ".join(v for v in variants if v not in done)
    zh, en = "各自的 run.json 里", "the run.json of each"
    if is_returned:
        zh, en = (
            "返回的结果里；后面的代码会继续运行",
            "the result returned; the code after it goes on",
        )
    say(
        zh=f"实验被停下。已经完成的 {count} 次训练在{zh}。没有结果的变体：{missing or '没有'}。",
        en=f"The experiment was stopped. The {count} trainings that are whole are in {en}. "
        f"Variants without any: {missing or 'none'}.",
    )
    if is_returned:
        from IPython.display import display

        display(done)
    return is_returned


def find_rate(
    make_net: Callable[[], nn.Module],
    data: ImageData,
    rates: Sequence[float],
    *,
    epochs: int,
    seed: int,
    name: str,
) -> float:
    """The learning rate with the highest validation accuracy after a short training.

    Where it is the largest or the smallest tried, the grid is extended beyond it by the same
    factor, three times at most; the same if the loss was not finite at any. With 0 epochs there is
    no time to tell rates apart: the middle one is taken.

    Args:
        make_net, data, seed, name: as for ``try_rates``.
        rates: the grid, each rate the same multiple of the one below; a single one is taken as it
            is.
        epochs: of each trial.

    Raises:
        ValueError: no rate, or 0 among several.
    """
    tried = sorted(set(check_rates(rates)))
    if len(tried) > 1 and tried[0] == 0:
        raise ValueError(
            Text(
                zh=f"学习率里有 0，别的都不是它的倍数：{tried}；请去掉 0。",
                en=f"among the learning rates is 0, of which none is a multiple: {tried}; leave "
                "it out.",
            )
        )
    if not tried:
        raise ValueError(
            Text(zh="没有可以试的学习率；至少给出一个。", en="no learning rate to try; give one.")
        )
    if len(tried) == 1 or epochs == 0:
        return tried[len(tried) // 2]
    factor = tried[1] / tried[0]
    found, settings = Trials(), {"epochs": epochs, "seed": seed, "name": name}
    run_trials(found, make_net, data, tried, **settings)
    for _ in range(EXTENSIONS):
        best = best_rate(found) if found else tried[0]
        if tried[0] < best < tried[-1]:
            break
        further = best / factor if best == tried[0] else best * factor
        run_trials(found, make_net, data, [further], **settings)
        tried = sorted([*tried, further])
    return best_rate(found) if found else tried[0]
