"""The command line as its users meet it: its own entry point, and real processes for a few."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from knowncircuits.cases import CASES, list_cases
from knowncircuits.cases.experiments import hard_cases
from knowncircuits.cases.generated import generated_cases
from knowncircuits.cases.modalities import modality_cases
from knowncircuits.cases.registry import COMPONENTS
from knowncircuits.cli import app, main
from knowncircuits.models.zoo import VARIANTS, list_models, shipped

runner = CliRunner()
N_CASES = sum(map(len, (CASES, hard_cases(), COMPONENTS, modality_cases(), generated_cases())))


def command(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "knowncircuits.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_score_prints_a_table_and_writes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("score", "exact", "--compiled", "-c", "fraction_of_x", "-c", "histogram")
    done = runner.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    histogram = ["histogram", "1.000", "1.000", "1.000", "0.667", "13", "4", "1"]
    assert histogram in [row[:-1] for row in rows]
    assert any(row[:1] == ["mean"] for row in rows)
    folder = tmp_path / "results" / "exact"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.json")} == {
        "fraction_of_x/compiled/0.json",
        "histogram/compiled/0.json",
    }
    again = runner.invoke(app, arguments)
    assert again.stdout.replace(", 2 of them reused", "") == done.stdout  # seconds included


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "eapp"], "unknown method 'eapp'; did you mean eap"),
        (["score", "eap", "-c", "histogramm"], "unknown case 'histogramm'; did you mean histogram"),
        (["score", "eap", "--suite", "none"], "unknown suite 'none'"),
        (["score", "eap", "-c", "sort", "--suite", "all"], "expected -c, or --suite and --family"),
        (["score", "eap", "-c", "fraction_of_x", "-x", "steps=3"], "takes no option steps"),
        (["score", "eap", "-c", "fraction_of_x", "-x", "steps"], "an option like batch_size=64"),
        (["score", "eap", "-c", "fraction_of_x", "--pairs", "0"], "--pairs"),
        (["score", "eap", "--zoo", "1", "-o", "file/results"], "cannot write to file/results"),
        (["score", "eap", "--metric", "kll"], "kll"),
        (["compare", "none"], "expected result files under none, got none"),
        (["compare", "none", "-o", "file/tables"], "cannot write to file/tables"),
        (["run", "histogram"], "got one of 0"),
        (["run", "histogram", "a", "z"], "got 'z'"),
        (["run", "histogram", *"aaaaaaaaaa"], "got one of 10"),
        (["show", "histogram", "--save", "circuit.gif"], "ending in"),
        (["show", "histogram", "--save", "file/circuit.json"], "cannot write"),
        (["cases", "--family", "cooking"], "unknown family"),
        (
            ["score", "eap", "--zoo", "1", "-c", "fraction_of_x", "--corruption", "all"],
            "unknown corruption",
        ),
        (
            ["score", "eap", "--zoo", "1", "-c", "fraction_of_x", "--corruption", "variable:is"],
            "mean is_x",
        ),
        (["score", "eap", "sp", "--label", "both"], "expected --label with one method, got 2"),
        (["score", "eap", "--label", "../up"], "a label of letters, digits and . + - _ only"),
        (["score", "eap", "-x", "batch_size=8", "random"], "random takes no option batch_size"),
        (
            ["score", "eap", "--zoo", "1", "--variant", "seed7"],
            "variant of zoo 1 'seed7'; did you mean seed",
        ),
        (
            ["score", "eap", "--zoo", "1", "-c", "invert_if_sorted"],
            "seed0 of invert_if_sorted",
        ),
        (
            ["score", "eap", "--compiled", "--variant", "seed0"],
            "expected one of --variant (with --zoo)",
        ),
        (
            ["score", "eap", "--compiled", "--hosted"],
            "expected one of --variant (with --zoo), --compiled, --hosted and --model",
        ),
        (["score", "eap", "--model", "none"], "expected the folder of a trained model"),
        (
            ["models", "list", "--zoo", "1", "--variant", "seed7"],
            "variant of zoo 1 'seed7'",
        ),
        (["models", "check", "--folder", "none"], "expected trained models in none, got none"),
        (["models", "train", "-c", "histogramm"], "unknown case 'histogramm'"),
        (["models", "train", "-c", "histogram", "-o", "file/zoo"], "cannot write to file/zoo"),
        (["models", "train", "-c", "histogram", "--recipes", "file"], "file: no recipe for seed0"),
        (["models", "train", "-c", "histogram", "--device", "abacus"], "expected device cpu"),
        (["maintain", "docs", "--save", "file/cases.md"], "cannot write"),
        (["train", "histogram", "-o", "file/model"], "cannot write"),
        (["train", "histogram", "--steps", "0"], "--steps"),
        (["train", "histogram", "--device", "abacus"], "expected device cpu"),
        (["train", "balanced_parentheses", "--layers", "2"], "an impossible placement"),
        (["certify", "file"], "expected the folder of a trained model"),
        (["wire", "fraction_of_x", "", "-o", "out"], "expected a transformation like 'rotate"),
        (["wire", "fraction_of_x", "bend", "-o", "out"], "unknown transformation 'bend'"),
        (["wire", "fraction_of_x", "rotate 1", "-o", "out"], "an option like batch_size=64"),
        (
            ["wire", "fraction_of_x", "rotate seed=x", "-o", "out"],
            "expected parameters of rotate (seed), got seed",
        ),
        (["wire", "fraction_of_x", "squeeze d_model=3", "-o", "out"], "expected answers to stay"),
        (["wire", "fraction_of_x", "rotate", "-o", "file/out"], "cannot write"),
        (["show", "histogram", "--model", "none"], "expected the folder of a trained model"),
        (["effects", "histogramm"], "unknown case 'histogramm'; did you mean histogram"),
        (
            ["effects", "fraction_of_x", "--zoo", "1", "--save", "a.gif"],
            "a file ending in .csv, .json, .html",
        ),
        (
            ["effects", "fraction_of_x", "--zoo", "1", "--save", "file/a.csv"],
            "cannot write to file",
        ),
        (["effects", "fraction_of_x", "--scales", "0,one"], "expected finite scales like 0,0.5,1"),
        (["effects", "fraction_of_x", "--zoo", "1", "--nodes", "m0,m9"], "unknown node 'm9'"),
        (["effects", "fraction_of_x", "--scales", "nan"], "expected finite scales like 0,0.5,1"),
        (["effects", "fraction_of_x", "--inputs", "1"], "--inputs"),
        (["effects", "fraction_of_x", "--zoo", "1", "--ablation", "man"], "unknown ablation 'man'"),
        (["effects", "fraction_of_x", "--compiled", "--variant", "seed0"], "expected one of"),
        (["effects", "fraction_of_x", "--theme", "dark"], "dark"),
        (["realism", "fraction_of_x", "--zoo", "1", "-x", "stepz=1"], "expected settings among"),
        (["realism", "fraction_of_x", "--zoo", "1", "-x", "steps=0"], "steps to be greater than 0"),
        (
            ["realism", "fraction_of_x", "--zoo", "1", "--natural", "file/model"],
            "cannot write to file/model",
        ),
        (["realism", "fraction_of_x", "--scales", "foo"], "expected finite scales like 0,0.5,1"),
        (
            ["show", "qqqqqqq"],
            f"none of the {N_CASES} known is close, the nearest are",
        ),
        (["score", "eap", "--seed", "-1"], "--seed"),
        (["score", "eap", "--seed", str(2**32)], "--seed"),
        (["score", "eap-ig-inputs", "-x", "steps=abc"], "expected steps to be a valid integer"),
        (["score", "eap", "-x", "batch_size=NaN"], "expected batch_size to be a finite number"),
        (
            ["score", "acdc", "-x", "thresholds=" + "[" * 3000],
            "expected thresholds to be a",
        ),
        (["score", "eap", "--zoo", "1", "--variant", "[red]"], "unknown variant of zoo 1 '[red]'"),
        (["score", "eap", "-o", ""], "the name of a file or folder"),
        (["score", "eap", "--zoo", "1", "-o", "a" * 300], "File name too long"),
        (["train", "histogram", "-x", "batch_size=NaN"], "expected batch_size to be a finite"),
        (["train", "histogram", "-x", "layers=abc"], "expected layers to be a valid integer"),
        (["train", "histogram", "--heads", "0"], "--heads"),
        (["models", "check", "--pairs", "-1"], "--pairs"),
        (["compare", "a" * 300], "File name too long"),
        (["compare", "none", "--alpha", "7"], "--alpha"),
        (["compare", "none", "--alpha", "nan"], "--alpha"),
        (["leaderboard", "serve", "--port", "99999"], "--port"),
        (["leaderboard", "serve", "--port", "65536"], "--port"),
        (["leaderboard", "build", "."], "expected submissions in ., got none"),
    ],
)
def test_bad_input_is_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("stands in the way")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("knowncircuits.cases.registry.own_names", list)  # of other tests
    monkeypatch.setattr(sys, "argv", ["knowncircuits", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "file"]


@pytest.mark.parametrize("asked", ["effects none", "realism none", "faithfulness none"])
def test_a_mistyped_name_makes_no_folder(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, [*asked.split(), "--save", "figures/effects.html"])
    assert "none" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cook"], "cook"),
        (["score", "eapp"], "error: unknown method 'eapp'; did you mean eap"),
        pytest.param(
            ["train", "histogram", "-o", "file/model"], "cannot write", marks=pytest.mark.long
        ),
    ],
)
def test_a_process_ends_with_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("stands in the way")
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    results = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert results == [tmp_path / "file"]  # nothing written, not even half


@pytest.mark.long
def test_score_is_on_trained_models(tmp_path: Path) -> None:
    """Cases of the suite without a model are named, not dropped in silence.

    In a process without the tests' checks of each call, since there are many models.
    """
    options = ["--pairs", "10", "-o", str(tmp_path / "results")]
    done = command("score", "eap", "--suite", "structural", "--zoo", "1", *options)
    assert done.returncode == 0, done.stderr
    assert "eap on trained models" in done.stdout
    there, all_cases = list_models("structural", zoo=1), list_cases("structural")
    assert {p.stem for p in (tmp_path / "results" / "eap").iterdir()} == set(there)
    (line,) = [row for row in done.stderr.splitlines() if row.startswith("no trained model seed0")]
    missing = line.partition(": ")[2].split(", ")
    assert sorted([*there, *missing]) == sorted(all_cases)


def test_score_of_several_methods_models_and_draws(tmp_path: Path) -> None:
    names = ["-c", "fraction_of_x", "-c", "identity", "-c", "histogram", "--variant", "all"]
    options = ["--seeds", "2", "--seed", "5", "--pairs", "10", "-o", str(tmp_path)]
    done = runner.invoke(app, ["score", "eap", "truth", "eap", "--zoo", "1", *names, *options])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert sum(row[:2] == ["truth", "1.000"] for row in rows) == 2  # structural, degenerate
    assert "mean of 2 structural cases" in done.output
    assert "mean of 1 degenerate cases" in done.output
    variants = [(n, v) for n in names[1::2] for v in VARIANTS[1] if shipped(1).holds(n, v)]
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json")} == {
        f"{method}/{name}/{variant}/{seed}.json"
        for method in ("eap", "truth")
        for name, variant in variants
        for seed in (5, 6)
    }


@pytest.mark.long
def test_score_on_ones_own_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(shipped(1).place("fraction_of_x", "seed0"), folder)
    options = ["--model", str(folder), "--pairs", "10", "-o", str(tmp_path / "results")]
    done = runner.invoke(app, ["score", "eap", *options])
    assert done.exit_code == 0, done.output
    assert f"eap on {folder}" in done.output
    assert "not certified" not in done.output
    (folder / "certificate.json").unlink()
    again = runner.invoke(app, ["score", "eap", *options])
    assert f"not certified: {folder}; truth is what it was trained for" in again.output
    other = command("score", "eap", *options, "-c", "histogram")
    assert "expected no case but fraction_of_x, got histogram" in other.stderr


def test_show(tmp_path: Path) -> None:
    target = tmp_path / "circuit.html"
    shown = runner.invoke(app, ["show", "fraction_of_x", "--save", str(target)])
    assert shown.exit_code == 0
    assert "frac_prevs = Aggregate(key indices <= query indices, is_x, default=0)" in shown.output
    assert "<- m0  is_x" in shown.output
    assert target.stat().st_size > 100_000


def test_run_prints_program_and_model_side_by_side() -> None:
    done = runner.invoke(app, ["run", "unique_tokens_first", "a", "a", "b"])
    rows = [line.split() for line in done.output.splitlines() if line.strip()]
    assert rows[2:] == [["a", "a", "a"], ["a", "-", "-"], ["b", "b", "b"]]
    numbers = runner.invoke(app, ["run", "count_greater", "3", "10"])
    assert ["3", "1", "1"] in [line.split() for line in numbers.output.splitlines()]


def test_the_headline_is_over_structural_cases(tmp_path: Path) -> None:
    names = ["-c", "fraction_of_x", "-c", "histogram", "-c", "identity"]
    options = ["--compiled", "-o", str(tmp_path), "--pairs", "10"]
    done = runner.invoke(app, ["score", "eap", *names, *options])
    assert "mean of 2 structural" in done.output
    assert "mean of 3 all" in done.output


def test_other_corruptions(tmp_path: Path) -> None:
    arguments = ["score", "eap", "--compiled", "-c", "frequency_class", "--pairs", "10"]
    for corruption in ("minimal", "variable:hist"):
        folder = str(tmp_path / corruption)
        done = runner.invoke(app, [*arguments, "--corruption", corruption, "-o", folder])
        assert done.exit_code == 0, done.output


def test_checks_of_the_data() -> None:
    """Of one pair the output is the same on every input, which is a problem."""
    check = ["cases", "check", "-c", "fraction_of_x", "-c", "histogram", "--pairs"]
    done = runner.invoke(app, [*check, "200"])
    assert (done.exit_code, "2 cases, 0 with problems" in done.output) == (0, True)
    few = runner.invoke(app, [*check, "1"])
    assert (few.exit_code, "2 cases, 2 with problems" in few.output) == (1, True)


def test_train_and_certify(tmp_path: Path) -> None:
    """Five steps are not enough, and the exit code says so; the folder can be certified again."""
    pytest.importorskip("transformer_lens", reason="needs the lens extra")
    folder = str(tmp_path / "model")
    short = ["--steps", "5", "--pairs", "50", "-o", folder]
    done = runner.invoke(app, ["train", "fraction_of_x", *short])
    assert done.exit_code == 1
    assert "failed: accuracy" in done.output
    assert "not certified\n5 steps; model and certificate in" in done.output
    assert "checkpoint.pt" not in {p.name for p in (tmp_path / "model").iterdir()}
    again = runner.invoke(app, ["certify", folder, "--pairs", "50"])
    assert again.exit_code == 1
    assert "computed again through hooks: " in again.output


def test_effects(tmp_path: Path) -> None:
    few = ["effects", "fraction_of_x", "--zoo", "1", "--inputs", "15"]
    files = [tmp_path / name for name in ("a.csv", "a.json", "a.html")]
    options = [part for path in files for part in ("--save", str(path))]
    done = runner.invoke(app, [*few, "--scales", "0,1", *options])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["node", "status", "0", "1"] in rows
    assert ["a0.h1", "out", "0.000", "0.000"] in rows
    assert f"wrote {files[2]}" in done.output
    table = pd.read_csv(files[0])
    assert table["model"].unique().tolist() == ["fraction_of_x (seed0)"]
    assert len(json.loads(files[1].read_text())) == len(table) == 24
    assert "Causal effects of the nodes of fraction_of_x" in files[2].read_text()
    words = ["effects", "fraction_of_x", "--compiled", "--inputs", "15", "--granularity", "edge"]
    compiled = runner.invoke(app, words)
    assert ["m0->a1.h0<v>", "in", "1.000"] in [
        line.split() for line in compiled.output.splitlines()
    ]
    several = runner.invoke(
        app, [*few, "--ablation", "mean", "--ablation", "zero", "--per-position"]
    )
    rows = [line.split() for line in several.output.splitlines()]
    assert ["ablation", "node", "status", "BOS", "1", "2", "3", "4"] in rows
    assert sum(row[:1] == ["zero"] for row in rows) == 12


@pytest.mark.long
def test_patch(tmp_path: Path) -> None:
    """Every tool prints its table and, but for what heads copy, how it does against the circuit."""
    few = ("--compiled", "--pairs", "5")

    def printed(*arguments: str) -> str:
        done = runner.invoke(app, ["patch", "sort_words_by_length", *few, *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    page, table = tmp_path / "patch.html", tmp_path / "patch.json"
    text = printed("--view", "z", "--view", "v", "--save", str(page), "--save", str(table))
    assert "against the known circuit" in text
    assert {row["view"] for row in json.loads(table.read_text())} == {"z", "v"}
    assert "<title>Activation patching of sort_words_by_length" in page.read_text()
    assert "BOS" in printed("--view", "pattern", "--per-position", "--way", "denoise")
    assert "recovered" in printed("--tool", "path", "--receiver", "logits", "--freeze-mlps")
    assert "attribution" in printed("--tool", "direct")
    assert "change" in printed("--tool", "backup", "--ablated", "a1.h0")
    assert "against the known circuit" not in printed("--tool", "copy")
    assert "query" in printed("--tool", "attention", "--node", "a1.h0")
    for wrong in (["--tool", "backup"], ["--view", "x"], ["--tool", "path", "--receiver", "a9.h0"]):
        assert runner.invoke(app, ["patch", "sort", *few, *wrong]).exit_code != 0


def test_patch_where_both_runs_have_one_value(tmp_path: Path) -> None:
    """Two names that change places change no answer: nothing is lost, but patches do something."""
    pytest.importorskip("transformer_lens", reason="needs the lens extra")
    table, page = tmp_path / "swap.json", tmp_path / "swap.html"
    arguments = ("--compiled", "--pairs", "3", "--metric", "logit_diff", "--corruption", "swap")
    files = ("--save", str(table), "--save", str(page))
    done = runner.invoke(app, ["patch", "ioi", *arguments, "--view", "q", *files])
    assert done.exit_code == 0, done.output
    assert "change of the value, which both runs share, by view" in done.stdout
    rows = {row["node"]: row for row in json.loads(table.read_text())}
    assert rows["a3.h0"]["difference"] == 0
    assert rows["a1.h0"]["difference"] < -0.5  # its queries take other names for doubled
    assert rows["a1.h0"]["lost"] is None
    assert "difference: change of the value" in page.read_text()


@pytest.mark.parametrize(
    ("options", "tool"),
    [
        ("--view z", "path"),
        ("--node a0.h0", "direct"),
        ("--receiver logits", "act"),
        ("--freeze-mlps", "act"),
        ("--per-position", "copy"),
        ("--way denoise", "attention"),
        ("--figure bars", "attention"),
    ],
)
def test_options_of_another_tool(options: str, tool: str) -> None:
    done = runner.invoke(app, ["patch", "sort", "--compiled", "--tool", tool, *options.split()])
    assert done.exit_code != 0
    assert f"expected {options.split()[0]} with --tool" in str(done.exception)


def test_realism(tmp_path: Path) -> None:
    """The natural model is trained once, and used again if it is of the same settings."""
    folder, table = tmp_path / "natural", tmp_path / "table.csv"
    few = ["--inputs", "15", "--pairs", "50", "--scales", "1", "--natural", str(folder)]
    short = [
        "realism",
        "fraction_of_x",
        "--zoo",
        "1",
        *few,
        "-x",
        "n_inputs=1000",
        "-x",
        "n_validation=100",
    ]
    done = runner.invoke(app, [*short, "--save", str(table)])
    assert done.exit_code == 0, done.output
    assert f"steps, in {folder}" in done.output
    assert "accuracy without the outside   resample" in done.output
    assert set(pd.read_csv(table)["model"]) == {"trained", "natural", "both"}
    assert "checkpoint.pt" not in {p.name for p in folder.iterdir()}
    again = runner.invoke(app, short)
    report = done.output.partition("agreement with")[2]
    assert again.output.startswith("agreement with")
    assert again.output.splitlines()[1:] == report.splitlines()[1:-1]
    other = command(*short, "-x", "optimizer=adam")
    assert other.returncode == 2
    assert "expected a natural model of these settings, got another" in other.stderr


def test_lists() -> None:
    cases = runner.invoke(app, ["cases", "--suite", "interpbench"])
    assert "balanced_parentheses" in cases.output
    assert "129 cases, 52 structural" in cases.output
    few = runner.invoke(app, ["cases", "--suite", "structural", "--family", "brackets"])
    assert "2 cases, 2 structural" in few.output
    methods = runner.invoke(app, ["methods"])
    assert "exact" in methods.output


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("knowncircuits leader", ["leaderboard"]),
        ("knowncircuits pull mo", ["models"]),
        ("knowncircuits effects --metr", ["--metric"]),
    ],
)
def test_a_shell_completes_commands_options_and_choices(words: str, known: list[str]) -> None:
    asked = {
        "_KNOWNCIRCUITS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = CliRunner().invoke(app, [], prog_name="knowncircuits", env=asked)
    assert done.stdout.split() == known
