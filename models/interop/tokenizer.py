"""A vocabulary as a word-level tokenizer in the files of Hugging Face's libraries."""

from __future__ import annotations

import json
from typing import Any

from knowncircuits.errors import ModelError
from knowncircuits.rasp.vocabulary import BOS, Vocabulary

BOS_TEXT, PAD_TEXT = "<bos>", "<pad>"


def tokenizer_files(vocabulary: Vocabulary) -> dict[str, str]:
    """`tokenizer.json` and `tokenizer_config.json`, which `AutoTokenizer` reads.

    Tokens are words between spaces, as `str` writes them, and BOS is put first, once. PAD is the
    vocabulary's, or BOS where it has none: such a model takes inputs of one length only. A word
    outside the vocabulary is an error of the tokenizer, since there is no id for it.

    Raises ModelError for tokens that are no words, or that are one word.
    """
    words = [BOS_TEXT, *map(str, vocabulary.tokens), *([PAD_TEXT] if vocabulary.pad else [])]
    if len(set(words)) != len(words) or any(word.split() != [word] for word in words):
        raise ModelError(f"expected tokens that are distinct words, got {words[:12]}")
    pad = PAD_TEXT if vocabulary.pad else BOS_TEXT
    special = {BOS_TEXT: BOS} | ({PAD_TEXT: vocabulary.pad_id} if vocabulary.pad else {})
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(word, i) for word, i in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_part("SpecialToken", BOS_TEXT), _part("Sequence", "A")],
            "pair": [
                *(_part("SpecialToken", BOS_TEXT), _part("Sequence", "A")),
                _part("Sequence", "B"),
            ],
            "special_tokens": {BOS_TEXT: {"id": BOS_TEXT, "ids": [BOS], "tokens": [BOS_TEXT]}},
        },
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(words)},
            "unk_token": "<unk>",  # in no vocabulary: an unknown word is an error
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS_TEXT,
        "eos_token": BOS_TEXT,  # nothing is generated
        "pad_token": pad,
        "model_max_length": vocabulary.n_ctx,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
    }
    return {
        "tokenizer.json": json.dumps(document, ensure_ascii=False) + "\n",
        "tokenizer_config.json": json.dumps(settings, indent=1) + "\n",
    }


def _special(word: str, place: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": place, "content": word, **flags, "special": True}


def _part(kind: str, name: str) -> dict[str, Any]:
    return {kind: {"id": name, "type_id": 0}}
