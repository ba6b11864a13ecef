"""Checkpoints as a model of lm-evaluation-harness.

Importing this module registers the model ``relscale``::

    relscale-lm-eval --model relscale --model_args pretrained=DIR --tasks arc_easy,lambada_openai

``relscale-lm-eval`` (or ``python -m relscale.lm_eval``) is ``lm_eval`` with this module imported: the
harness itself (0.4.13) has no entry points through which a package could register a model. In a
program, import this module before ``lm_eval.simple_evaluate(model="relscale", ...)``.

Requests are cut into tokens as the harness's ``hf`` model cuts them, so that log-likelihoods agree with
it up to rounding; ``cli/tests/harness_agreement`` in the repository compares them.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import operator
from collections import Counter
from pathlib import Path
from typing import Any, Literal

try:
    from lm_eval import utils
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from tqdm import tqdm
except ImportError as error:  # pragma: no cover
    raise ImportError("lm-evaluation-harness is missing: pip install 'relscale[harness]'") from error

from ._errors import OptionError, RelscaleError
from ._score import Model

__all__ = ["RelscaleLM", "main"]

_log = logging.getLogger(__name__)


@register_model("relscale")
class RelscaleLM(TemplateLM):  # type: ignore[misc]
    """A checkpoint on the CPU backend.

    Parameters
    ----------
    checkpoint : str
        Folder of a checkpoint or of a LoRA adapter, or a GGUF file.
    pretrained : str
        The same by the name that the harness knows: it calls its logs so. With `checkpoint` it
        gives them a random name.
    base : str, optional
        Base of the adapter.
    backend : {"cpu", "reference"}
        As of `relscale.Model`.
    precision : {"f32", "bf16"}, optional
        As of `relscale.Model`.
    threads : int, optional
        Number of threads; one per core without it.
    batch_tokens : int
        Token budget of one batch. It changes no result.
    max_length : int, optional
        Longest input; the model's context without it.
    add_bos_token : bool, optional
        If given, puts the beginning-of-sequence token before texts or not, whatever the tokenizer does.
    prefix_token_id : int, optional
        Token before texts without a context; the beginning-of-sequence token, else that of the end.
    greedy : bool, optional
        If true, finds for every request whether greedy decoding would give it; if false, for none.
        Without it, for requests that are alone in their document, whose tasks measure it (``acc`` of
        LAMBADA); a warning says once if choices have an answer that was not found.
    batch_size, max_batch_size, device
        Ignored: `batch_tokens` bounds a batch, and the model runs on the CPU.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        base: str | None = None,
        backend: Literal["cpu", "reference"] = "cpu",
        precision: Literal["f32", "bf16"] | None = None,
        threads: int | None = None,
        batch_tokens: int = 8192,
        max_length: int | None = None,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        greedy: bool | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        if (checkpoint is None) == (pretrained is None):
            raise OptionError("one of pretrained=DIR and checkpoint=DIR is needed")
        self.checkpoint = str(checkpoint if pretrained is None else pretrained)
        # Special tokens that a prompt spells out are parsed, as the tokenizers of transformers do.
        self.model = Model(
            self.checkpoint,
            base=base,
            backend=backend,
            precision=precision,
            threads=threads,
            batch_tokens=batch_tokens,
            special_tokens=True,
        )
        for warning in self.model.warnings:
            _log.warning("%s", warning)
        self.max_length = min(max_length or self.model.context_len, self.model.context_len)
        self._add_bos = self.model.adds_bos if add_bos_token is None else add_bos_token
        self._prefix = prefix_token_id if prefix_token_id is not None else self._own_prefix()
        self._greedy = greedy
        self._alone: list[bool] = []
        self._has_warned = False

    def _own_prefix(self) -> int | None:
        if self.model.bos_token is not None:
            return self.model.bos_token
        config = Path(self.checkpoint) / "config.json"
        end = json.loads(config.read_text(encoding="utf-8")).get("eos_token_id") if config.exists() else None
        return end[0] if isinstance(end, list) else end

    @property
    def eot_token_id(self) -> int:
        """Token before texts without a context."""
        if self._prefix is None:
            raise OptionError(
                "the tokenizer names no token that begins or ends a text: give prefix_token_id=ID"
            )
        return self._prefix

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, which keys the harness's cache of requests."""
        return self.checkpoint.replace("/", "__")

    def get_model_info(self) -> dict[str, Any]:
        """Return what the harness writes beside its results."""
        return {
            "model_source": "relscale",
            "model_backend": self.model._inner.backend,
            "max_length": self.max_length,
        }

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Return the tokens of a text, behind the beginning-of-sequence token if one belongs there."""
        tokens: list[int] = self.model.encode(string).tolist()
        add = self._add_bos if add_special_tokens is None else add_special_tokens and self.model.adds_bos
        begin = self.model.bos_token
        if add and begin is not None and tokens[:1] != [begin]:
            tokens.insert(0, begin)
        return tokens

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return log-likelihood and greediness of each continuation."""
        # Requests of one document are its choices, of which no usual metric asks for greediness.
        documents = Counter((r.task_name, r.doc_id) for r in requests)
        self._alone = [documents[r.task_name, r.doc_id] == 1 for r in requests]
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm)
        return answers

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = [_cut(context, continuation, self.max_length) for _, context, continuation in requests]
        alone = self._alone if len(self._alone) == len(pairs) else [True] * len(pairs)
        wanted = [one if self._greedy is None else self._greedy for one in alone]
        found: dict[int, tuple[float, bool]] = {}
        for greedy in (False, True):
            places = [at for at, want in enumerate(wanted) if want == greedy]
            if not places:
                continue
            contexts = [pairs[at][0] for at in places]
            continuations = [pairs[at][1] for at in places]
            with tqdm(disable=disable_tqdm, desc="Running loglikelihood requests", unit="token") as bar:

                def show(tokens: int, total: int, bar: Any = bar) -> None:
                    bar.total = total
                    bar.update(tokens - bar.n)

                if greedy:
                    answers = self.model.greedy_log_likelihoods(continuations, contexts, progress=show)
                else:
                    nats = self.model.log_likelihoods(continuations, contexts, progress=show)
                    answers = [(_sum(n.tolist()), self._is_greedy(n)) for n in nats]
                    self._warn(nats)
            found.update(zip(places, answers, strict=True))
        for (request, _, _), at in zip(requests, range(len(pairs)), strict=True):
            if request is not None:
                self.cache_hook.add_partial("loglikelihood", request, found[at])
        return [found[at] for at in range(len(pairs))]

    def _is_greedy(self, nats: Any) -> bool:
        """Return what the probabilities of the tokens alone say: true above one half."""
        return bool((nats > math.log(0.5)).all())

    def _warn(self, nats: list[Any]) -> None:
        """Say once that greediness was not found where the tokens alone do not tell."""
        if self._greedy is False or self._has_warned:
            return
        # The likeliest of a vocabulary has at least its share.
        share = -math.log(self.model.vocab_size)
        unknown = sum(1 for n in nats if not self._is_greedy(n) and n.min() >= share)
        if unknown:
            self._has_warned = True
            _log.warning(
                "is_greedy is taken for false where the probabilities of the choice's own tokens do not "
                "tell, as for %d of %d choices. Among multiple-choice metrics, only exact_match uses it; it "
                "needs greedy=True. greedy=False silences this.",
                unknown,
                len(nats),
            )

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of each text, in windows of the model's context."""
        windows: list[tuple[list[int], list[int]]] = []
        counts = []
        for request in requests:
            cut = [
                utils.make_disjoint_window(window)
                for window in utils.get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length,
                    context_len=1,
                )
            ]
            windows += cut
            counts.append(len(cut))
        nats = self.model.log_likelihoods([w[1] for w in windows], [w[0] for w in windows])
        sums = iter([_sum(n.tolist()) for n in nats])
        answers = [_sum([next(sums) for _ in range(count)]) for count in counts]
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return answers

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Refuse: relscale computes likelihoods and generates no text."""
        tasks = ", ".join(sorted({str(r.task_name) for r in requests}))
        raise RelscaleError(
            f"relscale scores texts and generates none: generate_until of {tasks} needs another model, such "
            "as `--model hf`"
        )


def _sum(values: list[float]) -> float:
    """Return the sum in the order of the values, with the bits of the crate on every version of Python."""
    return functools.reduce(operator.add, values, 0.0)


def _cut(context: list[int], continuation: list[int], limit: int) -> tuple[list[int], list[int]]:
    """Return both with the start of the context dropped where they exceed `limit` inputs."""
    room = limit + 1 - len(continuation)
    if room < 1:
        raise RelscaleError(f"a continuation of {len(continuation)} tokens, the context has {limit}")
    return context[-room:], continuation


def main() -> None:
    """Run ``lm_eval`` with the model ``relscale``."""
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
