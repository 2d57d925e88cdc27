"""InteractionExplanation: one explanation, with the verbs a user has for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, as_indices, as_integer, as_masks, check_names
from proxyspex_hf.core.effects import removal_masks
from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.hierarchy import (
    EnergyByOrder,
    HierarchyRates,
    energy_by_order,
    hierarchy_rates,
)
from proxyspex_hf.core.indices import interactions
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.intervals import prediction_intervals, with_intervals
from proxyspex_hf.core.posterior import stretched
from proxyspex_hf.core.removal.best import (
    RemovalLimits,
    RemovalSolution,
    SizeLimits,
    best_removal,
    maximize,
    minimize,
    removal_curve,
)
from proxyspex_hf.core.spectrum import FourierSpectrum
from proxyspex_hf.errors import InputError
from proxyspex_hf.files import as_path, read_bounded, write_whole
from proxyspex_hf.interaction import Interaction, RemovalEffect, frame_of
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.limits import MAX_FILE_BYTES
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.record.serialize import dumps, loads
from proxyspex_hf.viz.terms import spell
from proxyspex_hf.viz.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from proxyspex_hf.core.progress import ProgressCallback
    from proxyspex_hf.core.proxies.base import Proxy
    from proxyspex_hf.core.refine import RefineMethod
    from proxyspex_hf.hub.entries import HubEntry
    from proxyspex_hf.hub.push import PushResult


class InteractionExplanation:
    """Which combinations of features made the model say that.

    Made by :class:`proxyspex_hf.InteractionExplainer`, or read with :meth:`load`. Immutable; two
    explanations are equal if everything but the time of their making is.

    Attributes:
        record: the plain data underneath.

    Example:
        >>> explanation.label, round(explanation.value, 2)
        ('POSITIVE', 1.05)
        >>> explanation.text
        'It is not a bad film, and I was never bored for a minute.'
        >>> explanation.spectrum.n_features, len(explanation.record.queries)
        (14, 107)
    """

    def __init__(self, record: ExplanationRecord) -> None:
        self._record = record

    @property
    def record(self) -> ExplanationRecord:
        """The plain data underneath."""
        return self._record

    @property
    def label(self) -> str:
        """What was explained: a class label, the text whose generation is scored, a caption."""
        return self.record.target.label

    @property
    def value(self) -> float:
        """What the model gives for the whole input, in the unit of ``record.target.kind``."""
        return self.record.full_value

    @property
    def model(self) -> str:
        """The model that was asked, as its config names it."""
        return self.record.provenance.model

    @property
    def text(self) -> str:
        """The input, as the model read it."""
        return self.record.text

    @property
    def features(self) -> Features:
        """What the masks switch: labels, and where each lies in the text or the image."""
        return self.record.features

    @property
    def spectrum(self) -> FourierSpectrum:
        """The sparse Fourier spectrum that everything else is derived from."""
        return self.record.spectrum

    @property
    def faithfulness(self) -> dict[float, float | None]:
        """R² on masks left out of the fit, by density (share kept); see ``scores`` for more."""
        return {score.density: score.r2 for score in self.record.faithfulness}

    @property
    def scores(self) -> tuple[DensityScore, ...]:
        """Faithfulness by density, with the additive baseline and the number of masks."""
        return self.record.faithfulness

    def _ranked(self) -> Iterator[Interaction]:
        """Every effect at the input that is known, the largest first; ties in canonical order."""
        coefficients, occurrence = self.spectrum.to_dict(), spell(self.record).occurrence
        for found in self.record.effects:
            yield Interaction(
                members=found.members,
                labels=tuple(self.features.labels[i] for i in found.members),
                effect=found.value,
                interval=found.interval,
                kind=found.kind,
                coefficient=coefficients.get(found.members, 0.0),
                occurrences=tuple(occurrence[i] for i in found.members),
            )

    def top(
        self, k: int = 10, *, order: int | None = None, unsure: bool = False
    ) -> list[Interaction]:
        """The ``k`` largest effects at the input, of one ``order`` if given.

        Args:
            order: how many features take part; default any number.
            unsure: also those whose 90% interval holds zero, which are not findings. An empty list
                of ``order=2`` says that no pair was told from zero; where the features add up,
                ``print`` says so.

        Raises:
            InputError: ``k`` below 0, or ``order`` below 1.

        Example:
            >>> explanation.top(1)[0].labels
            ('not', 'bad')
        """
        k = as_integer("k", k, 0)
        if order is not None:
            order = as_integer("order", order, 1)
        found = (i for i in self._ranked() if order in (None, i.order) and (unsure or i.is_sure))
        return list(islice(found, k))

    def removal_effect(self, features: Iterable[int]) -> RemovalEffect:
        """What the value loses without ``features`` (indices), together, and how sure that is.

        Raises:
            InputError: an index that is not a feature's.
        """
        n = len(self.features)
        members = as_indices("features", features, n)
        masks = removal_masks(n, [members])
        full, left = self.spectrum.evaluate(masks).tolist()
        return RemovalEffect(members, full - left, self._interval_of_loss(masks, full - left))

    def _interval_of_loss(self, masks: BoolArray, shown: float) -> tuple[float, float] | None:
        record = self.record
        if record.is_exact:
            return shown, shown
        if record.posterior is None:
            return None
        found = record.posterior.combination(masks, np.array([[1.0, -1.0]]))
        low, high = stretched(found, np.array([shown]))[0].tolist()
        return (low, high) if np.isfinite([low, high]).all() else None

    def predict(self, masks: Any) -> FloatArray:
        """What the explanation predicts for masks (b, n), 1 = kept -> (b,): no model call.

        Raises:
            InputError: masks of another width, or not 0/1.

        Example:
            >>> masks = np.ones((1, 14), bool)
            >>> float(explanation.predict(masks)[0]) > 0  # log-odds of POSITIVE
            True
        """
        return self.spectrum.evaluate(masks)

    def predict_interval(self, masks: Any) -> FloatArray:
        """90% intervals of what the model gives for masks (b, n): (b, 2), low and high.

        Raises:
            InputError: masks of another width or not 0/1; an explanation of before 0.2, which
                has no intervals: :meth:`refit` makes them; or of answers that were all the same.
        """
        rows = as_masks(masks, len(self.features))
        if self.record.is_exact:
            shown = self.predict(rows)
            return np.stack([shown, shown], axis=1)
        if self.record.posterior is None:
            if self.record.fit.method == "constant":
                raise InputError(
                    f"all {self.record.queries.n_fit} answers were the same, so nothing says how "
                    "far others may be from them: ask more (alpha=, budget=)."
                )
            raise InputError("this explanation was made without intervals: refit() makes them.")
        return prediction_intervals(self.spectrum, self.record.posterior, rows)

    def interactions(self, index: str, order: int | None = None) -> Interactions:
        """An interaction index of every combination, by name, without model calls.

        Each score has its 90% ``intervals``: wide where the masks that were asked say little of it.

        Args:
            index: any case, short or long: effect, banzhaf, shapley, influence, moebius, or, BII,
                SII, STII, FBII, FSII.
            order: largest combination; default 2 (all, for moebius and or).

        Raises:
            InputError: an unknown index, or an order below one.

        Example:
            >>> shapley = explanation.interactions("shapley")
            >>> shapley.first_order().shape
            (14,)
        """
        record = self.record
        found = interactions(self.spectrum, index, order)
        found = with_intervals(
            found, self.spectrum, record.posterior, exact=record.is_exact, seed=record.settings.seed
        )
        return replace(found, labels=self.features.labels)

    def removal(self, k: int, **limits: Unpack[RemovalLimits]) -> RemovalSolution:
        """The ``k`` features whose removal moves the prediction most, up or down (equation 4).

        ``limits``: time_limit (seconds), always_keep, always_remove (feature indices). Errors as
        :func:`proxyspex_hf.core.removal.best.best_removal`.

        Example:
            >>> explanation.removal(1).removed, explanation.removal(1).status
            ((2,), 'optimal')
        """
        check_names(limits, RemovalLimits.__annotations__, "limit")
        return self._with_interval(best_removal(self.spectrum, k, **limits))

    def removal_curve(
        self, ks: Iterable[int], **limits: Unpack[RemovalLimits]
    ) -> tuple[RemovalSolution, ...]:
        """:meth:`removal` for each of ``ks``, building the program once."""
        check_names(limits, RemovalLimits.__annotations__, "limit")
        return tuple(map(self._with_interval, removal_curve(self.spectrum, ks, **limits)))

    def _with_interval(self, solution: RemovalSolution) -> RemovalSolution:
        masks = np.stack([np.ones_like(solution.mask), solution.mask])
        loss = self._interval_of_loss(masks, -solution.change)
        return replace(solution, interval=None if loss is None else (0.0 - loss[1], 0.0 - loss[0]))

    def maximize(self, **limits: Unpack[SizeLimits]) -> RemovalSolution:
        """The kept set of largest prediction; min_kept, max_kept, exactly and limits as above."""
        check_names(limits, SizeLimits.__annotations__, "limit")
        return self._with_interval(maximize(self.spectrum, **limits))

    def minimize(self, **limits: Unpack[SizeLimits]) -> RemovalSolution:
        """The kept set of smallest prediction; arguments as :meth:`maximize`."""
        check_names(limits, SizeLimits.__annotations__, "limit")
        return self._with_interval(minimize(self.spectrum, **limits))

    def hierarchy(self, ks: Iterable[int]) -> HierarchyRates:
        """DSR, SCR and SHR of the ``k`` largest coefficients (equations 3, 10, 11)."""
        return hierarchy_rates(self.spectrum, ks)

    def energy_by_order(self) -> EnergyByOrder:
        """How the variance over uniform masks divides among the orders."""
        return energy_by_order(self.spectrum)

    def refit(
        self,
        *,
        proxy: str | Proxy = "blend",
        n_coefficients: int | None = None,
        max_order: int | None = None,
        refine: RefineMethod = "project",
        seed: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> InteractionExplanation:
        """Fit again to the answers that are stored: no model call, no model needed.

        Args:
            proxy: what is fitted; see :class:`proxyspex_hf.core.ProxySPEX`.
            n_coefficients: at most how many terms of the spectrum to keep; default as before.
            max_order: largest interaction to look for; default no limit.
            refine: what is done to the extracted coefficients; see the same class.
            seed: of the folds and the proxy; default as before. The masks stay what they are.
            progress: called with a :class:`proxyspex_hf.Progress` now and then.

        Returns:
            A new explanation, tested on the same masks.

        Raises:
            InputError: an argument that cannot be used, or fewer than 20 masks to fit.
        """
        from proxyspex_hf.core.algorithm import ProxySPEX
        from proxyspex_hf.refit import refit_record

        settings = self.record.settings
        algorithm = ProxySPEX(
            proxy=proxy,
            n_coefficients=settings.n_coefficients if n_coefficients is None else n_coefficients,
            max_order=max_order,
            refine=refine,
            seed=settings.seed if seed is None else seed,
        )
        return InteractionExplanation(refit_record(self.record, algorithm, progress))

    def to_dataframe(self) -> pd.DataFrame:
        """One row per effect at the input, largest first, those that are not sure among them.

        Columns: labels, members, order, effect, low, high (of the 90% interval), kind, sure,
        coefficient.
        """
        return frame_of(self._ranked())

    def to_html(self, path: str | Path | None = None) -> str:
        """The page as one self-contained HTML file; also written to ``path`` if given.

        Raises:
            InputError: the file cannot be written.
        """
        from proxyspex_hf.viz import render_html

        page = render_html(self.record)
        if path is not None:
            write_whole(path, page)
        return page

    def to_image(self, path: str | Path, *, scale: float = 2.0) -> None:
        """The story as one picture: verdict, the input tinted by effect, combinations. No browser.

        Args:
            path: ends in ``.svg``, or in ``.png``, which is drawn in a font of this machine.
            scale: pixels of a PNG to each unit, of which the picture is 760 wide.

        Raises:
            InputError: another ending, a scale that is not from 0.5 to 8, or a place that cannot
                be written.
        """
        from proxyspex_hf.viz import render_picture, render_picture_png

        ending = as_path(path).suffix.lower()
        if ending == ".svg":
            write_whole(path, render_picture(self.record))
        elif ending == ".png":
            write_whole(path, render_picture_png(self.record, scale=scale))
        else:
            raise InputError(
                f"cannot draw {as_path(path).name!r}: a picture's name ends in .svg or .png."
            )

    def save(self, path: str | Path) -> None:
        """Write the explanation to ``path`` as one JSON file, whole or not at all.

        Raises:
            InputError: it is larger than what :meth:`load` reads, or the file cannot be written.
        """
        write_whole(path, dumps(self.record))

    @classmethod
    def load(cls, path: str | Path) -> InteractionExplanation:
        """Read the file at ``path`` that :meth:`save` wrote.

        Raises:
            SchemaError: not an explanation, damaged, or of a newer version.
            InputError: the file cannot be read.
        """
        return cls(loads(read_bounded(path, MAX_FILE_BYTES), str(path)))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        config_name: str = "explanations",
        private: bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
        token: str | bool | None = None,
    ) -> PushResult:
        """Add this explanation to a data set on the Hub, which is made if there is none.

        Spectrum, queries and card go in one commit; what the repository holds stays. An
        explanation that is there already is not pushed again. For many, see
        :func:`proxyspex_hf.push_explanations`.

        Args:
            repo_id: ``"owner/name"`` of the data set.
            config_name: name of the collection within it, a configuration of the data set.
            private: whether a new data set is private; default as the owner's account has it.
            revision: branch to push to, made if there is none; default ``main``.
            create_pr: propose the change as a pull request instead.
            commit_message: default says how many were added.
            token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.

        Raises:
            HubError: the Hub could not be reached or refused; the message says what to do, and
                where the explanation lies until then.
            InputError: a name that the Hub does not allow.
        """
        from proxyspex_hf.hub.push import push

        return push(
            [self.record],
            repo_id,
            config_name=config_name,
            private=private,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            token=token,
        )

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        id: str | None = None,  # noqa: A002  the column's name
        *,
        config_name: str = "explanations",
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> Self:
        """Read one explanation from the Hub; of a large repository, only its part is read.

        Args:
            repo_id: ``"owner/name"`` of the data set.
            id: the explanation's id, or its first six digits or more; may be left out where the
                repository holds only one.
            config_name: name of the collection within it.
            revision: branch, tag or commit.
            token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.

        Raises:
            HubError: the Hub could not be reached or refused.
            InputError: no such id, or several explanations and no id.
            SchemaError: the file is damaged, altered, or of a newer version.
        """
        from proxyspex_hf.hub.pull import pull_one

        return cls(pull_one(repo_id, id, config_name=config_name, revision=revision, token=token))

    @staticmethod
    def list_hub(
        repo_id: str,
        *,
        config_name: str = "explanations",
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> list[HubEntry]:
        """What a data set on the Hub holds, the newest first; arguments as :meth:`from_hub`."""
        from proxyspex_hf.hub.pull import listing

        return listing(repo_id, config_name=config_name, revision=revision, token=token)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InteractionExplanation):
            return NotImplemented
        return self.record == other.record

    def __hash__(self) -> int:
        return hash(self.record)

    def __repr__(self) -> str:
        best = self.top(1)
        strongest = f", strongest {best[0]}" if best else ""
        return (
            f"InteractionExplanation({self.record.target.label!r}, {counted(self.record)}, "
            f"{len(self.record.queries)} model calls{strongest})"
        )

    def __str__(self) -> str:
        from proxyspex_hf.viz import render_text

        return render_text(self.record)

    def _repr_html_(self) -> str:
        from proxyspex_hf.viz import render_notebook

        return render_notebook(self.record)
