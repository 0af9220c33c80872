"""How commands end, in real processes: closed, full and narrow streams, and faults of all kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.cli.ending import BAD_INPUT, FAULT, TRACEBACK, run_command
from knowncircuits.cli.options import to_path
from knowncircuits.errors import InputError, MethodError
from knowncircuits.evaluation.methods.discovery import load_method

COMMAND = f"{sys.executable} -P -m knowncircuits.cli"  # -P: as the installed script


def shell(command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    ("redirected", "code", "error"),
    [
        (">&-", 0, ""),
        pytest.param("2>&-", 0, "", marks=pytest.mark.long),
        pytest.param("| true", 1, "", marks=pytest.mark.long),
        (">/dev/full", 2, "error: cannot use standard output: No space left on device\n"),
    ],
)
def test_standard_output_closed_or_full(redirected: str, code: int, error: str) -> None:
    done = shell(f"{COMMAND} show emoji_sentiment {redirected}")
    assert (done.returncode, done.stderr) == (code, error)


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.long)])
def test_characters_that_the_terminal_lacks_are_escaped(encoding: str) -> None:
    done = shell(f"PYTHONIOENCODING={encoding} {COMMAND} show emoji_sentiment")
    assert done.returncode == 0, done.stderr
    assert r"on \U0001f" in done.stdout


def fail_with(error: BaseException) -> int:
    def command() -> None:
        raise error

    return run_command(command)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (SystemExit(), 0, ""),
        (SystemExit(1), 1, ""),
        (SystemExit("text"), 1, ""),
        (BrokenPipeError(), 1, ""),
        (InputError("expected a, got b"), BAD_INPUT, "error: expected a, got b\n"),
        (PermissionError(13, "Denied", "f"), BAD_INPUT, "error: cannot use f: Denied\n"),
        (MemoryError(), BAD_INPUT, "error: out of memory; ask for less at a time, "),
        (
            KeyError("a\nb"),
            FAULT,
            f"fault of knowncircuits: KeyError: 'a\\nb' ({TRACEBACK}=1 shows",
        ),
        (ValueError("a\nb"), FAULT, f"fault of knowncircuits: ValueError: a ({TRACEBACK}=1"),
    ],
)
def test_whatever_stops_a_command_is_one_line(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(error) == code
    printed = capsys.readouterr().err
    assert printed.startswith(text)
    assert printed.count("\n") == bool(text)


@pytest.mark.parametrize("take", [lambda: np.empty(2**50), lambda: torch.empty(2**50)])
def test_out_of_memory_is_said(take: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(take) == BAD_INPUT  # type: ignore[arg-type]
    assert capsys.readouterr().err.startswith("error: out of memory")


def test_a_fault_can_be_traced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    assert fail_with(KeyError("a")) == FAULT
    assert "in command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('no\\nway')", "cannot load method mine:f: RuntimeError: no"),
        ("import sys; sys.exit('bye')", "cannot load method mine:f: SystemExit: bye"),
        ("raise BaseException('odd')", "cannot load method mine:f: BaseException: odd"),
        ("f = [", "cannot load method mine:f: SyntaxError: .* was never closed"),
        ("g = 1", "cannot load method mine:f: AttributeError: module mine .*mine.py. has no f"),
    ],
)
def test_a_module_whose_import_fails_is_named(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(MethodError, match=message) as caught:
        load_method("mine:f")
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_files_in_the_current_folder_stand_in_for_nothing(tmp_path: Path) -> None:
    """A method of one's own may lie there, beside files that are named like modules."""
    for name in ("safetensors", "typing", "pandas"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('stood in')")
    (tmp_path / "mine.py").write_text(
        "import half\n\ndef f(task):\n    return [half.HALF] * task.graph.n_edges\n"
    )
    (tmp_path / "half.py").write_text("HALF = 0.5\n")
    few = "-c fraction_of_x --pairs 5"
    done = shell(f"{COMMAND} score eap mine:f {few} && {COMMAND} score eap {few}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "mine.f" / "fraction_of_x" / "seed0" / "0.json").exists()


def test_every_path_and_number_that_a_command_takes_is_checked() -> None:
    """Empty names and numbers out of all bounds are refused where they are read."""
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    commands = [command.callback for group in groups for command in group.registered_commands]
    assert len(commands) > 20
    for command in commands:
        for name, hint in get_type_hints(command, include_extras=True).items():
            if get_origin(hint) is not Annotated:
                continue
            kinds, info = {get_args(hint)[0], *get_args(get_args(hint)[0])}, get_args(hint)[1]
            if {Path, list[Path]} & kinds:
                assert info.parser is to_path, (command, name)
            if int in kinds:
                assert info.min is not None, (command, name)


def test_options_written_otherwise_are_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a method of one's own too, whose annotations may be of types that JSON has not."""
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n\n"
        "def f(task, *, file: Path, pair: tuple[float, float], steps: int = 1):\n"
        "    assert isinstance(file, Path) and isinstance(pair, tuple) and steps == 1000\n"
        "    return [pair[0]] * task.graph.n_edges\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    few = "score mine:f -c fraction_of_x --zoo 1 --pairs 5 -x file=a"
    first = CliRunner().invoke(app, f"{few} -x pair=0.1,1 -x steps=1e3")
    assert first.exit_code == 0, first.output
    (result,) = tmp_path.rglob("*.json")
    options = json.loads(result.read_text())["result"]["options"]
    assert options == {"file": "a", "pair": [0.1, 1.0], "steps": 1000}
    again = CliRunner().invoke(app, f"{few} -x pair=[0.1,1.0] -x steps=1000")
    assert "1 of them reused" in again.stdout, again.output
