"""Tasks of prompts in words, and the command that scores edges on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

import knowncircuits as kc
from knowncircuits.circuit import circuit_from_edges
from knowncircuits.cli import app
from knowncircuits.errors import ModelError, ResultError, TaskError
from knowncircuits.models.interop import LanguageModel, load_language_model
from knowncircuits.models.interop.architectures import ARCHITECTURES

WORDS = ["[BOS]", "?", "John", "Mary", "gave", "a", "book", "to", "then", "and", "went"]
CSV = """\
clean,corrupted,answer,wrong
John and Mary went then John gave,John and Mary went then Mary gave,Mary,John|to
"Mary then gave","John then gave",to,a
"""


@pytest.fixture(scope="session")
def words() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    tokenizer.post_processor = TemplateProcessing(  # type: ignore[assignment]
        single="[BOS] $A", special_tokens=[("[BOS]", 0)]
    )
    return tokenizer


@pytest.fixture(scope="session")
def folder(words: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and its tokenizer, as a release has them."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    model: Any = ARCHITECTURES["Llama"].build(0)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="[BOS]").save_pretrained(folder)
    (folder / "prompts.csv").write_text(CSV)
    return folder


@pytest.fixture(scope="session")
def loaded(folder: Path) -> LanguageModel:
    return load_language_model(folder)


class TestTask:
    def test_tokens_positions_and_answers(self, folder: Path, loaded: LanguageModel) -> None:
        task = kc.text_task(loaded.model, folder / "prompts.csv", loaded.tokenizer)
        assert task.clean.tolist() == [[0, 2, 9, 3, 10, 8, 2, 4], [0, 3, 8, 4, 4, 4, 4, 4]]
        assert task.corrupted[1].tolist() == [0, 2, 8, 4, 4, 4, 4, 4]
        assert task.counts.nonzero().tolist() == [[0, 7], [1, 3]]
        assert task.labels is not None
        assert task.labels.right.tolist() == [[3], [7]]
        assert task.labels.wrong.tolist() == [[2, 7], [5, -1]]
        assert (task.metric, task.n_pairs) == ("logit_diff", 2)

    def test_values_are_those_of_each_prompt_alone(
        self, folder: Path, loaded: LanguageModel
    ) -> None:
        """What fills up shorter prompts changes nothing."""
        task = kc.text_task(loaded.model, folder / "prompts.csv", loaded.tokenizer)
        model: Any = ARCHITECTURES["Llama"].build(0)
        with torch.no_grad():
            first = model(torch.tensor([[0, 2, 9, 3, 10, 8, 2, 4]])).logits[0, -1]
            second = model(torch.tensor([[0, 3, 8, 4]])).logits[0, -1]
        wanted = [first[3] - (first[2] + first[7]) / 2, second[7] - second[5]]
        got = task.value(task.clean_run.logits, torch.arange(2))
        assert torch.allclose(got, torch.stack(wanted), atol=1e-5)
        whole = kc.discover("eap", task).values
        rows = pd.read_csv(folder / "prompts.csv")
        alone = [
            kc.discover("eap", kc.text_task(loaded.model, rows[i : i + 1], loaded.tokenizer)).values
            for i in range(2)
        ]
        assert np.allclose(whole, np.mean(alone, 0), atol=1e-5)
        assert np.abs(whole).max() > 1e-2

    def test_without_answers_and_by_the_other_library(
        self, words: Tokenizer, loaded: LanguageModel
    ) -> None:
        rows = [{"clean": "John gave", "corrupted": "Mary gave"}]
        task = kc.text_task(loaded.model, rows, words, ablation="mean")
        assert task.clean.tolist() == [[0, 2, 4]]
        assert (task.metric, task.ablation, task.labels) == ("kl", "mean", None)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"clean": "John"}, "expected columns clean, corrupted, got no corrupted in row 1"),
            ({"corrupted": "Mary gave"}, "one length in tokens, got 2 and 3 in row 1: 'John'"),
            ({"answer": "to"}, "columns clean, corrupted, answer, wrong, got no wrong in row 1"),
            (
                {"answer": "a book", "wrong": "to"},
                "of one token, got 2 in 'a book', answer of",
            ),
            ({"answer": "to", "wrong": ""}, "answers of one token, got 0 in '', wrong of 'John'"),
        ],
    )
    def test_wrong_rows(
        self, row: dict[str, str], message: str, words: Tokenizer, loaded: LanguageModel
    ) -> None:
        whole = row if row == {"clean": "John"} else {"clean": "John", "corrupted": "Mary"} | row
        with pytest.raises(TaskError, match=message):
            kc.text_task(loaded.model, [whole], words)

    def test_wrong_files_and_models(
        self, words: Tokenizer, loaded: LanguageModel, tmp_path: Path
    ) -> None:
        with pytest.raises(ResultError, match="No such file"):
            kc.text_task(loaded.model, tmp_path / "none.csv", words)
        (tmp_path / "empty.csv").write_text("clean,corrupted\n")
        with pytest.raises(TaskError, match=r"empty\.csv: expected at least one row"):
            kc.text_task(loaded.model, tmp_path / "empty.csv", words)
        with pytest.raises(ModelError, match="expected a folder with a Hugging Face model"):
            load_language_model(tmp_path)
        (tmp_path / "config.json").write_text('{"model_type": "llama"}')
        with pytest.raises(ModelError, match="expected a model and a tokenizer in"):
            load_language_model(tmp_path)

    def test_tokens_that_a_model_lacks(self, words: Tokenizer) -> None:
        small = kc.load_case("fraction_of_x").compile().model
        rows = [{"clean": "John went", "corrupted": "Mary went"}]
        with pytest.raises(TaskError, match=r"expected tokens below the model's \d, got 10"):
            kc.text_task(small, rows, words)


class TestCommand:
    def run(self, *arguments: object) -> Any:
        return CliRunner().invoke(app, ["text", *map(str, arguments)])

    def test_scores_are_written_and_scored(
        self, folder: Path, loaded: LanguageModel, tmp_path: Path
    ) -> None:
        task = kc.text_task(loaded.model, folder / "prompts.csv", loaded.tokenizer)
        wanted = kc.discover("eap", task)
        best = [edge for edge, _ in wanted.top(5)]
        circuit = circuit_from_edges(task.graph, best)
        kc.write_graph_file(circuit, tmp_path / "circuit.json")
        options = ["--model", folder, "--prompts", folder / "prompts.csv", "-o", tmp_path]
        ran = self.run("eap", "ifr", *options, "--circuit", tmp_path / "circuit.json", "--top", 5)
        assert ran.exit_code == 0, ran.output
        assert "tiny: 2 layers, 4 heads in 2 groups, 82 edges; 2 pairs, logit_diff" in ran.output
        assert "1.000" in ran.output
        file = kc.read_graph_file(tmp_path / "eap.json")
        assert file.graph == task.graph
        assert np.allclose(file.scores, wanted.values, atol=1e-6)
        assert json.loads((tmp_path / "ifr.json").read_text())["cfg"]["n_key_value_heads"] == 2
        ran = self.run("eap", *options, "--format", "json", "--dtype", "bfloat16", "--top", 3)
        assert len(json.loads(ran.stdout)) == 3

    def test_bad_options(self, folder: Path, tmp_path: Path) -> None:
        options = ["--model", folder, "--prompts", folder / "prompts.csv", "-o", tmp_path]
        assert self.run("eap", *options, "--dtype", "int8").exit_code == 2
        with pytest.raises(kc.KnownCircuitsError, match="takes no option 'steps'|steps"):
            raise self.run("eap", *options, "-x", "steps=3").exception
