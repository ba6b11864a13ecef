"""From checkpoints to losses."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _frames, _options, _relscale
from ._errors import ScoreError
from ._frames import DataFrame

#: A function of the tokens computed and their total, called after every batch.
Progress: TypeAlias = "Callable[[int, int], object]"
#: Texts, items as mappings, a frame of items, or the path of a file of items.
Items: TypeAlias = "Iterable[str | Mapping[str, Any]] | DataFrame | str | os.PathLike[str]"
#: Policy for the beginning-of-sequence token.
Bos: TypeAlias = "Literal['model_default', 'never'] | Mapping[Literal['first', 'every_window'], int]"


class Model:
    """A checkpoint, loaded once for any number of calls.

    Parameters
    ----------
    checkpoint : path
        Folder of a Hugging Face checkpoint or of a LoRA adapter, or a GGUF file.
    base : path, optional
        Base of the adapter.
    backend : {"cpu", "reference"}
        ``"reference"`` computes in float64 without any optimisation.
    precision : {"f32", "bf16"}, optional
        Precision of products with weights, on the CPU.
    threads : int, optional
        Number of threads; one per core without it. It changes no bit of a result.
    batch_tokens : int
        Token budget of one batch. It bounds memory and changes no bit of a result.
    memory_limit : int, optional
        Refuse checkpoints that would take more bytes.
    special_tokens : bool
        If true, special tokens written in a text become their ids.

    Raises
    ------
    ScoreError
        A checkpoint that cannot be loaded; the message names file and tensor.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str],
        *,
        base: str | os.PathLike[str] | None = None,
        backend: Literal["cpu", "reference"] = "cpu",
        precision: Literal["f32", "bf16"] | None = None,
        threads: int | None = None,
        batch_tokens: int = 8192,
        memory_limit: int | None = None,
        special_tokens: bool = False,
    ) -> None:
        precise = precision or {"reference": "f64"}.get(backend, "f32")
        self.batch_tokens = batch_tokens
        # As they were asked for, which `score` compares with its own.
        self._given = {"backend": backend, "precision": precise, "threads": threads,
                       "special_tokens": special_tokens}  # fmt: skip
        self._inner = _relscale.Model(
            checkpoint, base, f"{backend} {precise}", threads, batch_tokens, memory_limit,
            special_tokens,
        )  # fmt: skip

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the vocabulary."""
        return self._inner.vocab_size

    @property
    def context_len(self) -> int:
        """Number of tokens of the longest sequence that the model accepts."""
        return self._inner.context_len

    @property
    def warnings(self) -> list[str]:
        """Findings at load, one sentence each."""
        return self._inner.warnings

    @property
    def bos_token(self) -> int | None:
        """The beginning-of-sequence token, if the tokenizer names one."""
        return self._inner.bos()[0]

    @property
    def adds_bos(self) -> bool:
        """If true, the tokenizer puts `bos_token` before a text."""
        return self._inner.bos()[1]

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Return the tokens of a text, without special tokens put before it.

        Parameters
        ----------
        text : str
            The text.
        """
        return np.frombuffer(self._inner.encode(text), dtype=np.uint32)

    def log_likelihoods(
        self,
        sequences: Iterable[Sequence[int] | NDArray[Any]],
        contexts: Iterable[Sequence[int] | NDArray[Any]] | None = None,
        *,
        progress: Progress | None = None,
    ) -> list[NDArray[np.float64]]:
        """Return the log-probability of each token given everything before it, in nats.

        Prefixes that sequences share are computed once, and the result is the same to the bit as that
        of each sequence alone.

        Parameters
        ----------
        sequences : iterable of sequences of int
            Token ids.
        contexts : iterable of sequences of int, optional
            Tokens before each sequence, which are not scored. Without a context, the first token of a
            sequence is not scored.
        progress : callable, optional
            Called after every batch with the tokens computed and their total.

        Returns
        -------
        list of arrays
            One per sequence, shorter by one without a context.

        Raises
        ------
        ScoreError
            A sequence that is too short or too long, or a token outside the vocabulary.
        """
        pairs = self._pairs(sequences, contexts)
        answers = self._inner.log_likelihoods(pairs, self.batch_tokens, progress)
        return [np.frombuffer(answer, dtype=np.float64) for answer in answers]

    def greedy_log_likelihoods(
        self,
        sequences: Iterable[Sequence[int] | NDArray[Any]],
        contexts: Iterable[Sequence[int] | NDArray[Any]],
        *,
        progress: Progress | None = None,
    ) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each sequence, and whether greedy decoding would give it.

        Every token of the vocabulary is scored at every place, for which prefixes are not shared.

        Parameters
        ----------
        sequences : iterable of sequences of int
            Token ids.
        contexts : iterable of sequences of int
            Tokens before each sequence, at least one.
        progress : callable, optional
            Called after every batch with the tokens computed and their total.

        Returns
        -------
        list of (float, bool)
            Nats, and true if each token is the likeliest at its place.

        Raises
        ------
        ScoreError
            A sequence or a context that is too short or too long, or a token outside the vocabulary.
        """
        pairs = self._pairs(sequences, contexts)
        return self._inner.greedy_log_likelihoods(pairs, self.batch_tokens, progress)

    def _pairs(
        self,
        sequences: Iterable[Sequence[int] | NDArray[Any]],
        contexts: Iterable[Sequence[int] | NDArray[Any]] | None,
    ) -> list[tuple[bytes, bytes]]:
        """Return the tokens of contexts and sequences as bytes, none too long for the model."""
        scored = [_ids(sequence) for sequence in sequences]
        before = [_ids(c) for c in contexts] if contexts is not None else [_ids([])] * len(scored)
        if len(before) != len(scored):
            raise ValueError(f"{len(before)} contexts for {len(scored)} sequences")
        for at, (context, sequence) in enumerate(zip(before, scored, strict=True)):
            inputs = len(context) + len(sequence) - 1
            if inputs > self.context_len:
                raise ScoreError(
                    f"sequence {at}: {inputs} tokens before the last, the model's context has "
                    f"{self.context_len}"
                )
        return [(c.tobytes(), s.tobytes()) for c, s in zip(before, scored, strict=True)]


def _ids(tokens: Sequence[int] | NDArray[Any]) -> NDArray[np.uint32]:
    array = np.asarray(tokens)
    if array.size == 0:
        return np.zeros(0, dtype=np.uint32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"token ids are a sequence of integers, not {array.ndim}-d {array.dtype}")
    # Before the conversion, which would wrap them into the vocabulary.
    if array.min() < 0 or array.max() > np.iinfo(np.uint32).max:
        raise ScoreError(f"token ids from {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, dtype=np.uint32)


def score(
    checkpoint: str | os.PathLike[str] | Model,
    items: Items,
    scorers: Sequence[str] = ("bits_per_byte",),
    *,
    name: str | None = None,
    backend: Literal["cpu", "reference"] | None = None,
    precision: Literal["f32", "bf16"] | None = None,
    threads: int | None = None,
    batch_tokens: int | None = None,
    bos: Bos = "model_default",
    context: int | None = None,
    stride: int | None = None,
    truncate: bool = False,
    special_tokens: bool | None = None,
    log: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
    library: str | None = None,
) -> DataFrame:
    """Score items with a checkpoint.

    Ctrl-C stops it at the end of a batch; with a `log`, everything scored by then is kept and the same
    call goes on from there.

    Parameters
    ----------
    checkpoint : path or Model
        The checkpoint, see `Model`.
    items : iterable of str or mapping, data frame, or path
        Texts, or items ``{"id", "text"}``, ``{"id", "context", "choices", "gold"}`` or ``{"id",
        "tokens"}``, each with an optional ``"cluster"``; a frame with such columns; a file of JSON lines
        or Parquet. An item without an id is numbered.
    scorers : sequence of str
        Names of the scorers: ``"bits_per_byte"``, ``"nats_per_token"``, ``"choice_log_loss"``,
        ``"error_rate"``, ... Every item is computed once, however many there are.
    name : str, optional
        Name of the distribution; that of the file, or ``"items"``.
    backend, precision, threads, special_tokens : optional
        As of `Model`, with its defaults. A `Model` has its own already, and others are refused.
    batch_tokens : int, optional
        Token budget of one batch: that of the `Model`, or 8192. A larger one takes more memory than the
        `Model` was checked for.
    bos : "model_default", "never", {"first": id} or {"every_window": id}
        Policy for the beginning-of-sequence token.
    context, stride : int, optional
        Tokens per window of a running text, and newly scored tokens per later window.
    truncate : bool
        If true, the start of contexts that are too long is dropped.
    log : path, optional
        File that keeps every score as soon as it is computed.
    progress : bool or callable
        If true, a line on standard error; a function is called with the tokens computed and their
        total.
    library : {"pandas", "polars", "pyarrow"}, optional
        Library of the result; that of `items`, else the first that is installed.

    Returns
    -------
    data frame
        One row per item and scorer, with the columns that `fit` reads: ``distribution``, ``item``,
        ``cluster``, ``scorer``, ``loss`` (per unit of weight) and ``weight``. Add the columns of the
        run, and put the frames of several checkpoints together.

    Raises
    ------
    ScoreError
        A checkpoint or an item that cannot be scored.
    OptionError
        An option with a value that makes no sense.
    TypeError
        An option of the model beside a `Model` that was loaded with another.
    """
    if isinstance(scorers, str):
        raise TypeError(f"scorers is a list of names, not the text {scorers!r}")
    found = _frames.library_of(items)
    if isinstance(items, (str, os.PathLike)):
        source, lines = os.fspath(items), None
        if name is not None:
            raise TypeError("name is of items in memory; a file gives its own")
    else:
        source, lines = name or "items", _lines(items, found)
    model = checkpoint
    if isinstance(model, Model):
        _refuse_others(model, backend=backend, precision=precision, threads=threads,
                       special_tokens=special_tokens)  # fmt: skip
    else:
        model = Model(
            model, backend=backend or "cpu", precision=precision, threads=threads,
            batch_tokens=8192 if batch_tokens is None else batch_tokens,
            special_tokens=bool(special_tokens),
        )  # fmt: skip
    if batch_tokens is None:
        batch_tokens = model.batch_tokens
    settings = {"batch_tokens": batch_tokens, "bos": bos, "context": context, "stride": stride,
                "truncate": truncate}  # fmt: skip
    shown = _Line() if progress is True else (progress or None)
    try:
        columns = _relscale.score(
            model._inner, source, lines, list(scorers), json.dumps(settings, default=_options.plain),
            log, shown,
        )  # fmt: skip
    finally:
        if isinstance(shown, _Line):
            shown.close()
    return _frames.frame(columns, library or found)


def _refuse_others(model: Model, **asked: object) -> None:
    """Refuse options that a model which is loaded already does not have."""
    for name, value in asked.items():
        if value is not None and value != model._given[name]:
            raise TypeError(
                f"{name}={value!r}, but the model was loaded with {name}={model._given[name]!r}: load a "
                f"Model with it, or leave it out"
            )


def _lines(items: Any, library: str | None) -> str:
    """Return items as JSON lines."""
    if library == "pandas":
        rows = items.to_dict("records")
        records = [{k: v for k, v in row.items() if not _frames.is_gap(v)} for row in rows]
    elif library == "polars":
        records = [_without_gaps(row) for row in items.to_dicts()]
    elif library == "pyarrow":
        records = [_without_gaps(row) for row in items.to_pylist()]
    else:
        records = [{"text": i} if isinstance(i, str) else dict(i) for i in items]
    for at, record in enumerate(records):
        record.setdefault("id", str(at))
    return "".join(json.dumps(r, default=_options.plain) + "\n" for r in records)


def _without_gaps(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if v is not None}


class _Line:
    """Progress as one line on standard error."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, tokens: int, total: int) -> None:
        share = tokens / total if total else 1.0
        print(f"\r{tokens}/{total} tokens ({share:.0%})", end="", file=sys.stderr, flush=True)
        self._shown = True

    def close(self) -> None:
        if self._shown:
            print(file=sys.stderr)
