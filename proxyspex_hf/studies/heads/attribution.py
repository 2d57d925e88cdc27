"""HeadAttribution: which attention heads, and which combinations of them, a task rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, as_integer, as_integers, as_masks
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.core.attribution import attribute
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import Proxy
from proxyspex_hf.core.queries import ALPHA, Sampling
from proxyspex_hf.core.refine import RefineMethod
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.memory import Memory
from proxyspex_hf.hf.value_function import answer, batches
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.progress_bar import progress_callback
from proxyspex_hf.recording import make_record
from proxyspex_hf.studies.heads.examples import Choice, Labelled, prepared
from proxyspex_hf.studies.heads.pruning import HeadEnergy, PrunedHeads, energy_of, random_masks
from proxyspex_hf.studies.heads.sites import find_sites
from proxyspex_hf.studies.heads.value import HEAD_VALUES, HeadMasks, HeadValue


class HeadScores(NamedTuple):
    """How a model does under each of some masks, means over the examples.

    Attributes:
        accuracy: (b,) share of the examples answered right; a tie is not right.
        log_probability: (b,) of the right answer among the options, in nats.
    """

    accuracy: FloatArray
    log_probability: FloatArray


class HeadAttribution:
    """The attention heads of some layers as features: f(S) is how well the model does with the
    heads S alone (paper, section 5.2 and appendix C.2).

    The outputs of the other heads are zeroed before the output projection, and what is left of a
    layer is scaled by heads / kept heads; a layer without any head gives zeros. Hooks do it, for
    the time of a forward pass: the model is never changed.

    Args:
        pipe: a text-generation pipeline of a causal model, with :class:`Choice` examples, or a
            text-classification pipeline, with :class:`Labelled` ones.
        examples: what f is the mean of.
        layers: layer numbers from 0; negative ones count from the end.
        value: ``"log-probability"`` of the right answer among the options (the label's log-softmax
            for a classifier), or ``"accuracy"``, as in the paper: coarse where examples are few.
        batch_size: masks in one batch; default as the device takes.
        cache_dir: directory that keeps every value; nothing is asked twice, even after a crash.
        projection: name of the output projection inside a layer, where it is not found.

    Attributes:
        function: the set function itself, masks (b, n) -> (b,).

    Raises:
        InputError: a model whose heads are not found, or examples that cannot be used.

    Example:
        >>> reviews = [Labelled("Never dull.", "POSITIVE"), Labelled("A dull film.", "NEGATIVE")]
        >>> study = HeadAttribution(pipe, reviews, layers=(1,))
        >>> study.labels
        ('L1 H0', 'L1 H1', 'L1 H2', 'L1 H3')
        >>> [row.kept for row in study.prune(study.explain(), kept=(2,), held_out=reviews)][0]
        4
    """

    def __init__(
        self,
        pipe: Any,
        examples: Sequence[Choice] | Sequence[Labelled],
        *,
        layers: Sequence[int],
        value: HeadValue = "log-probability",
        batch_size: int | None = None,
        cache_dir: str | Path | None = None,
        projection: str | None = None,
    ) -> None:
        if value not in HEAD_VALUES:
            raise InputError(f"value must be one of {HEAD_VALUES}, got {value!r}.")
        if batch_size is not None:
            batch_size = as_integer("batch_size", batch_size, 1, 10**6)
        self.pipe = pipe
        own = prepared(pipe, examples)
        sites = find_sites(pipe.model, layers, projection)
        self.function = HeadMasks(pipe.model, sites, own, value, batch_size)
        self._cache_dir = cache_dir
        self._memory = Memory()

    @property
    def n_features(self) -> int:
        """How many heads may be removed."""
        return self.function.n_features

    @property
    def labels(self) -> tuple[str, ...]:
        """``"L3 H5"`` is head 5 of layer 3, both counted from 0."""
        return self.function.features.labels

    def explain(
        self,
        *,
        alpha: float = ALPHA,
        budget: int | None = None,
        n_test: int = 100,
        density: Sampling = "uniform",
        proxy: str | Proxy = "blend",
        n_coefficients: int = ProxySPEX.n_coefficients,
        max_order: int | None = None,
        refine: RefineMethod = "project",
        seed: int = 0,
        progress: bool | ProgressCallback | None = None,
    ) -> InteractionExplanation:
        """Ask the model with many sets of heads removed, and explain its answers.

        Interrupted, values already computed are kept: the same call again resumes from there.

        Args:
            density: share of the heads that the fitted masks keep; as in the paper ``"uniform"``
                (half). To prune to fewer heads, mix in lower densities, such as (0.25, 0.5).
            alpha: α n log2 n masks are fitted; this and the others as in
                :class:`proxyspex_hf.options.ExplainerOptions`.
            budget: the exact number of masks to fit, instead of ``alpha``.
            n_test: masks at each of the densities 0.5, 0.7 and 0.9 for a test alone.
            proxy: what is fitted.
            n_coefficients: at most how many terms of the spectrum to keep.
            max_order: largest interaction to look for; default no limit.
            refine: what is done to the extracted coefficients.
            seed: the same seed gives the same explanation, bit for bit.
            progress: True for a bar, False for none, or a callable.

        Raises:
            InputError: an option that cannot be used.
            ModelError: the model failed or gave NaN or infinite values.
        """
        chosen = ExplainerOptions(
            alpha=alpha,
            budget=budget,
            n_test=n_test,
            density=density,
            proxy=proxy,
            n_coefficients=n_coefficients,
            max_order=max_order,
            refine=refine,
            seed=seed,
            progress=progress,
        )
        algorithm, how = chosen.algorithm(), chosen.plan(self.n_features)
        with self._asking() as asker:
            found = attribute(asker, how, algorithm, progress=progress_callback(progress))
            record = make_record(self.function, asker, chosen, algorithm, found, noise=None)
        return InteractionExplanation(record)

    def scores(
        self,
        masks: Any,
        examples: Sequence[Choice] | Sequence[Labelled] | None = None,
        *,
        progress: bool | ProgressCallback | None = None,
    ) -> HeadScores:
        """Accuracy and log-probability under masks (b, n), 1 = kept, on these or other examples.

        Raises:
            InputError: masks of another width, or examples that cannot be used.
            ModelError: the model failed.
        """
        rows = as_masks(masks, self.n_features)
        function = self.function if examples is None else self._on(examples)
        return _scores(function, rows, progress_callback(progress))

    def prune(
        self,
        explanation: InteractionExplanation,
        kept: Sequence[int],
        *,
        held_out: Sequence[Choice] | Sequence[Labelled],
        n_random: int | None = None,
        time_limit: float | None = 60.0,
        seed: int = 0,
        progress: bool | ProgressCallback | None = None,
    ) -> tuple[PrunedHeads, ...]:
        """The best heads to keep, by three methods, and the model's answers with them alone.

        ProxySPEX and LASSO are fitted to the same answers; the integer program of section 4.2 then
        finds the set that each fit values most. Best of N takes the best of random sets.

        Args:
            explanation: made by :meth:`explain` of the same study.
            kept: how many heads to keep, one or several numbers.
            held_out: examples that the sets are judged on.
            n_random: random sets for each number; default as many in all as were fitted, so that
                the methods cost the same. 0 leaves the method out.
            time_limit: seconds for each integer program, None for no limit.
            seed: of the random sets.

        Returns:
            The whole model first, then by number and method.

        Raises:
            InputError: an explanation of another study, numbers outside 0 to n, or examples that
                cannot be used; raised before the model is asked.
            ModelError: the model failed.
        """
        self._check(explanation)
        n = self.n_features
        counts = as_integers("kept", kept, 0, n, or_one=True)
        if not counts:
            raise InputError("kept is empty: give the numbers of heads to keep.")
        fitted = explanation.record.queries.n_fit
        if n_random is None:
            n_random = max(1, fitted // len(counts))
        n_random = as_integer("n_random", n_random, 0, 10**7)
        rng = np.random.default_rng(as_integer("seed", seed, 0, 2**63 - 1))
        callback = progress_callback(progress)
        judge = self._on(held_out)
        lasso = explanation.refit(proxy="lasso", n_coefficients=n, refine="none")
        sets: list[tuple[str, BoolArray, float | None, str]] = [
            ("all heads", np.ones(n, np.bool_), None, "")
        ]
        with self._asking() as asker:
            for k in counts:
                for method, fit in (("ProxySPEX", explanation), ("LASSO", lasso)):
                    best = fit.maximize(exactly=k, time_limit=time_limit)
                    sets.append((method, best.mask, best.predicted, best.status))
                if n_random:
                    drawn = random_masks(n, k, n_random, rng)
                    values = asker(drawn, callback)
                    sets.append((f"best of {n_random}", drawn[values.argmax()], None, ""))
            masks = np.stack([mask for _, mask, _, _ in sets])
            values = asker(masks, callback)
        accuracy, log_probability = _scores(judge, masks, callback)
        return tuple(
            PrunedHeads(
                method=method,
                kept=int(mask.sum()),
                heads=tuple(np.array(self.labels)[mask].tolist()),
                mask=tuple(mask.tolist()),
                predicted=predicted,
                value=float(values[row]),
                accuracy=float(accuracy[row]),
                log_probability=float(log_probability[row]),
                status=status,
            )
            for row, (method, mask, predicted, status) in enumerate(sets)
        )

    def energy(self, explanation: InteractionExplanation) -> HeadEnergy:
        """How the spectral energy divides into single heads, and interactions within a layer and
        across layers (figure 9, bottom).

        Raises:
            InputError: an explanation of another study.
        """
        self._check(explanation)
        return energy_of(explanation.spectrum, self.function.sites.layer_of)

    def _on(self, examples: Sequence[Choice] | Sequence[Labelled]) -> HeadMasks:
        """The same heads, judged on other examples."""
        own = self.function
        return HeadMasks(
            own.model, own.sites, prepared(self.pipe, examples), batch_size=own.batch_size
        )

    def _check(self, explanation: InteractionExplanation) -> None:
        record, own = explanation.record, self.function
        if (
            record.features != own.features
            or record.target != own.target
            or dict(record.settings.arguments) != dict(own.arguments)
        ):
            raise InputError(
                f"the explanation is of {record.target.label!r} with {len(record.features)} "
                f"features, this study of {own.target.label!r} with {own.n_features} heads or of "
                "other examples: pass one that this study's explain() made."
            )

    @contextmanager
    def _asking(self) -> Iterator[Asker]:
        """What remembers the values; that of an interrupted call is continued."""
        try:
            pair = (self.function, self.function)
            (asker,) = self._memory.askers(self.pipe, [pair], None, self._cache_dir)
            with self._memory.until_done(self.pipe, [asker], None):
                try:
                    yield asker
                finally:
                    # Before what is learnt is kept: a key reads the model as it is.
                    self.function.release()
        finally:
            self.function.release()


def _scores(function: HeadMasks, masks: BoolArray, progress: ProgressCallback | None) -> HeadScores:
    report = Reporter(progress, "scoring", len(masks))
    out = np.empty((len(masks), 2))
    try:
        for batch in batches(function, function.items(masks)):
            out[list(batch.rows)] = answer(function, batch.items).mean(axis=1)
            report.advance(len(batch.rows))
    finally:
        function.release()
    return HeadScores(out[:, 0].copy(), out[:, 1].copy())
