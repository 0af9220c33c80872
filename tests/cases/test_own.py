"""Cases of users: in files, in modules and in installed packages, and never by a file's say-so."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits import rasp
from knowncircuits.cases import Case, add_case, import_case, list_cases, load_case, own
from knowncircuits.cli import app
from knowncircuits.cli.ending import BAD_INPUT, run_command
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import InputError, KnownCircuitsError, ResultError, UnknownNameError
from knowncircuits.evaluation.runs import read_results
from knowncircuits.models import load_trained, save_trained
from knowncircuits.models.certificates import Placed
from knowncircuits.models.trained import as_trained
from knowncircuits.models.training import low_level_config
from knowncircuits.models.wired import load_wired
from knowncircuits.transformer import Transformer

SOURCE = """
from knowncircuits import Case, rasp
from letters import LETTERS

def is_vowel(letter):
    return "yes" if letter in "aeiou" else "no"

vowels = Case(
    name="{name}",
    family="own",
    description="Which letters are vowels.",
    program=rasp.Map(is_vowel, rasp.tokens).named("vowel"),
    vocab=LETTERS,
    max_len=3,
)
with open("runs.txt", "a") as runs:
    runs.write("run ")
"""
runner = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in; what is learnt in it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own, "_added", {})
    monkeypatch.setattr(own, "_sources", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    (tmp_path / "letters.py").write_text('LETTERS = ("a", "b", "e")\n')
    (tmp_path / "mine.py").write_text(SOURCE.format(name="vowels"))
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def package(folder: Path, name: str, points: str, code: str = "") -> None:
    """An installed package: a module, and what `pip` writes of it."""
    (folder / f"{name}.py").write_text(code or SOURCE.format(name="vowels"))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[knowncircuits.cases]\n{points}\n")


@pytest.mark.parametrize("name", ["mine.py:vowels", "./mine.py:vowels", "mine:vowels"])
def test_a_case_in_a_file_or_a_module(name: str) -> None:
    case = import_case(name)
    assert case.program(["a", "b"]) == ["yes", "no"]
    assert load_case("vowels") is case is import_case(name)
    assert list_cases("own") == ["vowels"]
    assert "vowels" not in list_cases()
    assert Path("runs.txt").read_text() == "run "


def test_a_file_is_one_by_whatever_path(here: Path) -> None:
    assert import_case("mine.py:vowels") is import_case(f"{here}/mine.py:vowels")


def test_a_file_beside_is_not_in_the_way_of_what_is_installed(here: Path) -> None:
    (here / "json.py").write_text("raise SystemExit")
    (here / "mine.py").write_text("import json\n" + SOURCE.format(name="vowels"))
    import_case("mine.py:vowels")
    assert sys.path[-1] == str(here)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nowhere:vowels", "", "cannot load case nowhere:vowels: ModuleNotFoundError: No module"),
        ("nowhere.py:vowels", "", r"FileNotFoundError: there is no file .*nowhere\.py"),
        ("mine.py:consonants", "vowels = 3", r"module mine \(.*mine.py\) has no consonants"),
        ("mine.py:vowels", "vowels = 3", "expected mine.py:vowels to be a Case, got a int"),
        ("mine.py:vowels", "class vowels: pass", "to be a Case, got vowels"),
        ("mine.py:", "", "expected MODULE:NAME or FILE.py:NAME"),
        ("mine.py:vowels", "\n\n1 / 0", r"ZeroDivisionError: division by zero \(.*mine.py, line 3"),
        ("mine.py:vowels", "import sys; sys.exit(3)", r"SystemExit: 3 \(.*mine.py, line 1\)"),
        ("mine.py:vowels", "vowels = (", r"SyntaxError: '\(' was never closed \(mine.py, line 1\)"),
        (
            "mine.py:vowels",
            SOURCE.format(name="sort"),
            "expected a name of .*mine.py:vowels that no",
        ),
        ("mine.py:vowels", SOURCE.format(name="sink_20"), "that no built-in case has, got sink_20"),
        ("mine.py:vowels", SOURCE.format(name="../up"), "of letters, digits and _, got '../up'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(name: str, code: str, message: str, here: Path) -> None:
    (here / "mine.py").write_text(code)
    with pytest.raises(InputError, match=message) as raised:
        import_case(name)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=message):  # again: nothing half-loaded is left
        import_case(name)
    assert list_cases("own") == []


def test_two_sources_of_one_name(here: Path) -> None:
    (here / "others.py").write_text(SOURCE.format(name="vowels"))
    import_case("mine.py:vowels")
    with pytest.raises(InputError, match=r"one case vowels, got .*others.py:vowels beside .*mine"):
        import_case("others.py:vowels")


def test_a_case_that_is_added_in_python_takes_the_place_of_an_earlier_one() -> None:
    first = Case("doubled", "own", "Twice.", rasp.Map(lambda n: 2 * n, rasp.tokens), (1, 2), 2)
    second = replace(first, max_len=3)
    assert add_case(first) is load_case("doubled")
    assert add_case(second) is load_case("doubled")
    with pytest.raises(UnknownNameError, match="double or doubled"):
        load_case("doublet")


def test_a_file_that_is_called_like_another_module(here: Path) -> None:
    (here / "mine.py").rename(here / "json.py")
    assert import_case("json.py:vowels") is import_case("./json.py:vowels")
    assert json is importlib.import_module("json")


def test_installed_packages_add_cases(here: Path) -> None:
    package(here, "plugin", "vowels = plugin:vowels")
    sys.path.append(str(here))
    assert "plugin" not in sys.modules
    assert list_cases("own") == ["vowels"]
    case = load_case("vowels")
    assert case.compile()(["e", "b"]) == ["yes", "no"]
    assert runner.invoke(app, ["show", "vowels"]).exit_code == 0


@pytest.mark.parametrize(
    ("points", "code", "message"),
    [
        ("vowels = plugin:nothing", "", "cannot load case vowels: AttributeError"),
        ("vowels = plugin:vowels", "1 / 0", r"ZeroDivisionError: .*plugin.py, line 1\)"),
        ("vowels = plugin:vowels", "vowels = None", "plugin:vowels to be a Case, got a NoneType"),
        ("vowel = plugin:vowels", "", "expected plugin:vowels to be called vowel, got vowels"),
    ],
)
def test_a_package_that_is_wrong_is_in_nobodys_way(
    points: str, code: str, message: str, here: Path
) -> None:
    package(here, "plugin", points, code)
    sys.path.append(str(here))
    assert load_case("sort").name == "sort"
    with pytest.raises(InputError, match=message):
        load_case(points.split()[0])


def test_a_package_takes_no_name_of_ours(here: Path) -> None:
    package(here, "plugin", "sort = plugin:vowels", SOURCE.format(name="sort"))
    sys.path.append(str(here))
    assert load_case("sort").family == "sorting"
    with pytest.raises(InputError, match="of an installed package that no .* has, got sort"):
        list_cases("own")


@pytest.mark.parametrize("kind", ["trained", "wired", "task"])
def test_a_name_in_a_file_imports_nothing(kind: str, here: Path) -> None:
    """A model's or a result's case may say whatever it likes."""
    folder = here / "model"
    made = runner.invoke(app, ["wire", "sign", "rotate seed=1", "-o", str(folder)])
    assert made.exit_code == 0, made.output
    path = folder / "wired.json"
    document = json.loads(path.read_text())
    document["case"] = "mine.py:vowels" if kind != "task" else "mine:vowels"
    path.write_text(json.dumps(document))
    if kind == "trained":
        path.rename(folder / "config.json")
    with pytest.raises(KnownCircuitsError):
        (load_trained if kind == "trained" else load_wired)(folder)
    assert not Path("runs.txt").exists()


def untrained(case: Case, folder: Path) -> None:
    compiled = case.compile()
    low = low_level_config(compiled, n_layers=1, n_heads=1, d_model=8)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    placed = Placed(Transformer(low).initialise(0), compiled, placement)
    save_trained(as_trained(placed), folder)


def test_a_model_is_read_with_its_case(here: Path) -> None:
    case = import_case("mine.py:vowels")
    untrained(case, here / "model")
    own._added.clear()  # as in another process
    with pytest.raises(UnknownNameError, match="unknown case 'vowels'.*-c FILE.py:CASE.*=case"):
        load_trained("model")
    trained = load_trained("model", case=case)
    assert trained.case is case
    with pytest.raises(ResultError, match="expected a model of sign, got one of vowels"):
        load_trained("model", case=load_case("sign"))
    add_case(case)
    assert load_trained("model").case is case


def test_commands_take_them(here: Path) -> None:
    """Wherever one is named; the file is run once."""
    name = "mine.py:vowels"
    for arguments, printed in (
        (["show", name], "vowels: Which letters are vowels."),
        (["cases", "-c", name, "-c", "sign"], "2 cases"),
        (["cases", "check", "-c", name], "1 cases, 0 with problems"),
        (["run", name, "a", "b"], "yes"),
        (["score", "exact", "-c", name, "--compiled", "--pairs", "5"], "1.000"),
        (["effects", name, "--compiled", "--inputs", "4"], "m0"),
        (["agreement", name, "--compiled", "--pairs", "5"], "vowels (compiled)"),
        (["sankey", name, "--compiled"], "embed->m0"),
        (["wire", name, "rotate seed=1", "-o", "wired"], "wrote wired"),
        (["show", name, "--model", "wired"], "rotate seed=1"),
        (["score", "eap", "-c", name, "--model", "wired", "--pairs", "5"], "1.000"),
    ):
        done = runner.invoke(app, arguments)
        assert done.exit_code == 0, f"{arguments}: {done.output} {done.exception}"
        assert printed in done.output, done.output
    assert [r.case for r in read_results("results")] == ["vowels"] * 2
    assert Path("runs.txt").read_text() == "run "


@pytest.mark.long
def test_other_processes_know_them(here: Path) -> None:
    arguments = ["score", "exact", "-c", "mine.py:vowels", "--compiled", "--pairs", "5", "-j", "2"]
    done = runner.invoke(app, [*arguments, "--seeds", "2"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert len(read_results("results")) == 2


def test_results_are_summarised_where_their_case_is_not_known(here: Path) -> None:
    scored = ["score", "exact", "eap", "-c", "mine.py:vowels", "--compiled", "--pairs", "5"]
    assert runner.invoke(app, scored).exit_code == 0
    own._added.clear()
    done = runner.invoke(app, ["compare", "results"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert "mean of 1 compiled own cases" in done.output


def test_a_wrong_name_ends_with_2(here: Path) -> None:
    sys.argv = ["knowncircuits", "show", "mine.py:consonants"]
    assert run_command(app) == BAD_INPUT
