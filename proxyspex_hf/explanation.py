"""InteractionExplanation: one explanation, with the verbs a user has for it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from proxyspex_hf.core.faithfulness import DensityScore
from proxyspex_hf.core.hierarchy import (
    EnergyByOrder,
    HierarchyRates,
    energy_by_order,
    hierarchy_rates,
)
from proxyspex_hf.core.interactions import Interactions
from proxyspex_hf.core.removal import (
    RemovalSolution,
    best_removal,
    maximize,
    minimize,
    removal_curve,
)
from proxyspex_hf.core.spectrum import FloatArray, FourierSpectrum
from proxyspex_hf.errors import InputError, SchemaError
from proxyspex_hf.hub_verbs import HubVerbs
from proxyspex_hf.record import Features
from proxyspex_hf.serialize import MAX_FILE_BYTES, dumps, record_from_json

if TYPE_CHECKING:
    import pandas as pd

    from proxyspex_hf.core.progress import ProgressCallback
    from proxyspex_hf.core.proxies.base import Proxy
    from proxyspex_hf.core.refine import RefineMethod

__all__ = ["Interaction", "InteractionExplanation"]


class Interaction(NamedTuple):
    """One combination of features.

    Attributes:
        members: the features' indices, ascending.
        labels: their texts.
        effect: 2 (-1)^|T| F(T), in units of the model's output: what the output loses through
            this combination when any one of its members is taken out of the full input. For one
            feature it is the Banzhaf value.
        coefficient: the Fourier coefficient F(T).
    """

    members: tuple[int, ...]
    labels: tuple[str, ...]
    effect: float
    coefficient: float

    @property
    def order(self) -> int:
        return len(self.members)

    def __str__(self) -> str:
        # A stranger's label may hold control characters, which a terminal would obey.
        names = (repr(x)[1:-1] if not x.isprintable() else x for x in self.labels)
        return f"{self.effect:+.3f}  {' × '.join(names)}"


class InteractionExplanation(HubVerbs):
    """Which combinations of features made the model say that.

    Made by :class:`proxyspex_hf.InteractionExplainer`, or read with :meth:`load`. Immutable; two
    explanations are equal if everything but the time of their making is.

    Attributes:
        record: the plain data underneath.
    """

    @property
    def text(self) -> str:
        """The input, as the model read it."""
        return self.record.text

    @property
    def features(self) -> Features:
        return self.record.features

    @property
    def spectrum(self) -> FourierSpectrum:
        """The sparse Fourier spectrum that everything else is derived from."""
        return self.record.spectrum

    @property
    def faithfulness(self) -> dict[float, float | None]:
        """R² on held-out masks by density (share of features kept); see ``scores`` for more."""
        return {score.density: score.r2 for score in self.record.faithfulness}

    @property
    def scores(self) -> tuple[DensityScore, ...]:
        """Faithfulness by density, with the additive baseline and the number of masks."""
        return self.record.faithfulness

    def _ranked(self) -> Iterator[Interaction]:
        """Every interaction but ∅, the strongest first; ties in canonical order."""
        spectrum = self.spectrum
        effects, sets = spectrum.effects, spectrum.sets
        for row in np.argsort(-np.abs(effects), kind="stable"):
            if sets[row]:
                labels = tuple(self.features.labels[i] for i in sets[row])
                yield Interaction(
                    sets[row], labels, float(effects[row]), float(spectrum.coefficients[row])
                )

    def top(self, k: int = 10, *, order: int | None = None) -> list[Interaction]:
        """The ``k`` strongest interactions, of one ``order`` if given."""
        if k < 0:
            raise InputError(f"k must not be negative, got {k}.")
        found = [i for i in self._ranked() if order in (None, i.order)]
        return found[:k]

    def predict(self, masks: Any) -> FloatArray:
        """What the explanation predicts for masks (b, n), 1 = kept -> (b,): no model call.

        Raises:
            InputError: masks of another width, or not 0/1.
        """
        return self.spectrum.evaluate(masks)

    def interactions(self, index: str, order: int | None = None) -> Interactions:
        """An interaction index of every combination, by name: exact and without model calls.

        Args:
            index: any case, short or long: banzhaf, shapley, influence, moebius, or, BII, SII,
                STII, FBII, FSII.
            order: largest combination; default 2 (all, for moebius and or).

        Raises:
            InputError: an unknown index, or an order below one.
        """
        return replace(self.spectrum.interactions(index, order), labels=self.features.labels)

    def removal(self, k: int, **limits: Any) -> RemovalSolution:
        """The ``k`` features whose removal moves the prediction most, up or down (equation 4).

        ``limits``: time_limit (seconds), always_keep, always_remove (feature indices). Errors as
        :func:`proxyspex_hf.core.removal.best_removal`.
        """
        return best_removal(self.spectrum, k, **limits)

    def removal_curve(self, ks: Sequence[int], **limits: Any) -> tuple[RemovalSolution, ...]:
        """:meth:`removal` for each of ``ks``, building the program once."""
        return removal_curve(self.spectrum, ks, **limits)

    def maximize(self, **limits: Any) -> RemovalSolution:
        """The kept set of largest prediction; min_kept, max_kept, exactly and limits as above."""
        return maximize(self.spectrum, **limits)

    def minimize(self, **limits: Any) -> RemovalSolution:
        """The kept set of smallest prediction; arguments as :meth:`maximize`."""
        return minimize(self.spectrum, **limits)

    def hierarchy(self, ks: Sequence[int]) -> HierarchyRates:
        """DSR, SCR and SHR of the ``k`` largest coefficients (equations 3, 10, 11)."""
        return hierarchy_rates(self.spectrum, ks)

    def energy_by_order(self) -> EnergyByOrder:
        """How the variance over uniform masks divides among the orders."""
        return energy_by_order(self.spectrum)

    def refit(
        self,
        *,
        proxy: str | Proxy = "boosting",
        n_coefficients: int | None = None,
        max_order: int | None = None,
        refine: RefineMethod = "stack",
        seed: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> InteractionExplanation:
        """Fit again to the answers that are stored: no model call, no model needed.

        Args:
            proxy, max_order, refine: see :class:`proxyspex_hf.core.ProxySPEX`.
            n_coefficients: interactions to keep at the most; default as before.
            seed: of the folds and the proxy; default as before. The masks stay what they are.
            progress: called with a :class:`proxyspex_hf.Progress` now and then.

        Returns:
            A new explanation, tested on the same held-out masks.

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
        """One row an interaction, strongest first: labels, members, order, effect, coefficient."""
        import pandas as pd  # 0.3 s to import: only for those who ask for a frame

        columns = ["labels", "members", "order", "effect", "coefficient"]
        rows = [
            (" × ".join(i.labels), i.members, i.order, i.effect, i.coefficient)
            for i in self._ranked()
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_html(self, path: str | Path | None = None) -> str:
        """A report in one self-contained HTML page; also written to ``path`` if given."""
        from proxyspex_hf.viz import render_html

        page = render_html(self.record)
        if path is not None:
            write_whole(path, page)
        return page

    def save(self, path: str | Path) -> None:
        """Write the explanation as one JSON file, whole or not at all."""
        write_whole(path, dumps(self.record))

    @classmethod
    def load(cls, path: str | Path) -> InteractionExplanation:
        """Read a file that :meth:`save` wrote.

        Raises:
            SchemaError: not an explanation, damaged, or of a newer version.
            InputError: the file cannot be read.
        """
        source = Path(path)
        try:
            if source.stat().st_size > MAX_FILE_BYTES:
                raise SchemaError(f"{source} is larger than any explanation ({MAX_FILE_BYTES} B).")
            data = json.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {source}: {error.strerror or error}.") from error
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise SchemaError(f"{source} is not an explanation: {error}.") from error
        return cls(record_from_json(data))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InteractionExplanation):
            return NotImplemented
        return self.record == other.record

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        best = self.top(1)
        strongest = f", strongest {best[0]}" if best else ""
        return (
            f"InteractionExplanation({self.record.target.label!r}, {len(self.features)} "
            f"{self.features.kind}, {len(self.record.queries)} model calls{strongest})"
        )

    def __str__(self) -> str:
        from proxyspex_hf.viz import render_text

        return render_text(self.record)

    def _repr_html_(self) -> str:
        from proxyspex_hf.viz import render_notebook

        return render_notebook(self.record)


def write_whole(path: str | Path, text: str) -> None:
    """Write a file through a temporary one beside it: interrupted, the old one is still there.

    Raises:
        InputError: the place cannot be written.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        # mkstemp makes private files; give this one what open() would have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
