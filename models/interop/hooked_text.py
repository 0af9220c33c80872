"""Text in and out of a hooked twin, as HookedTransformer has it: words are tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.errors import InputError, ModelError
from knowncircuits.models.interop.tokenizer import tokenizer_files
from knowncircuits.rasp.vocabulary import Vocabulary

PaddingSide = Literal["left", "right"]
Text = str | list[str]


def fast_tokenizer(vocabulary: Vocabulary) -> Any:
    """The tokenizer of `tokenizer_files`, without a folder."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    files = tokenizer_files(vocabulary)
    settings = json.loads(files["tokenizer_config.json"])
    del settings["tokenizer_class"]
    tokenizer = Tokenizer.from_str(files["tokenizer.json"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


class TokenizedText:
    """What a model makes of text, by the tokenizer that it may have."""

    def __init__(self, words: Any, n_ctx: int) -> None:
        """A vocabulary, a tokenizer of Hugging Face's kind, or None where neither is known."""
        self._words = words
        self.n_ctx = n_ctx

    @cached_property
    def tokenizer(self) -> Any:
        """Made when text is first used, since tokens may be no words."""
        made = isinstance(self._words, Vocabulary)
        return fast_tokenizer(self._words) if made else self._words

    def to_tokens(
        self,
        text: Text,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        truncate: bool = True,
    ) -> Int[Tensor, "batch pos"]:
        """Ids of texts, with BOS first unless `prepend_bos` is False.

        Raises ModelError without a tokenizer, InputError for a word that is no token.
        """
        tokenizer = self.get()
        usual = tokenizer.padding_side
        tokenizer.padding_side = padding_side or usual
        options = {
            "truncation": truncate,
            "max_length": self.n_ctx if truncate else None,
            "add_special_tokens": prepend_bos is not False,
        }
        try:
            ids: Tensor = tokenizer(text, return_tensors="pt", padding=True, **options)["input_ids"]
        except Exception as error:  # the type that the tokenizers' library raises
            if "[UNK]" not in str(error):
                raise
            known = set(tokenizer.get_vocab())
            texts = [text] if isinstance(text, str) else text
            unknown = sorted({word for one in texts for word in one.split()} - known)
            raise InputError(
                f"expected words among {', '.join(sorted(known)[:12])}, got {', '.join(unknown)}"
            ) from None
        finally:
            tokenizer.padding_side = usual
        return ids

    def to_string(self, tokens: Tensor | Sequence[Any]) -> str | list[str]:
        """A text of ids [pos], or texts of ids [batch, pos]."""
        ids = torch.as_tensor(tokens)
        if ids.ndim == 2:
            return [str(self.to_string(row)) for row in ids]
        return str(self.get().decode(ids.reshape(-1).tolist()))

    def to_words(self, tokens: Tensor | Sequence[int]) -> list[str]:
        """The words of ids [pos]."""
        words: list[str] = self.get().convert_ids_to_tokens(torch.as_tensor(tokens).tolist())
        return words

    def get(self) -> Any:
        """The tokenizer; ModelError without one."""
        if self.tokenizer is None:
            raise ModelError(
                "expected a model with a tokenizer, got one whose vocabulary is not known; make it "
                "by to_hooked(trained), or to_hooked(model, vocabulary=...)"
            )
        return self.tokenizer
