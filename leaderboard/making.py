"""Submissions from runs of ours, from EAP-IG's and MIB's JSON files, and from plain tables."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import GraphError, ResultError, SubmissionError
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.methods.discovery import load_method
from knowncircuits.evaluation.methods.registry import METHODS
from knowncircuits.evaluation.methods.returned import edge_scores
from knowncircuits.exchange import read_graph_file
from knowncircuits.files.reading import read_bytes
from knowncircuits.leaderboard.divisions import least_budget, most_passes
from knowncircuits.leaderboard.schema import VERSION, Description
from knowncircuits.leaderboard.submission import Submission, in_words, zoo_name
from knowncircuits.leaderboard.truth import Certified, certified_models
from knowncircuits.leaderboard.untrusted import MAX_CSV, few
from knowncircuits.models.choices import DEFAULT_ZOO, OWN, BoardZoo
from knowncircuits.models.zoo.variants import VARIANTS

if TYPE_CHECKING:
    from knowncircuits.evaluation.runs.results import Result

# What has to be the same in all runs of a submission.
SAME = (
    *("label", "method", "n_pairs", "metric", "corruption", "ablation"),
    *("options", "version", "code", "threads"),
)
OURS = {**METHODS, **CONTROLS}


@takes(folder=str | Path)
def make_submission(
    folder: str | Path,
    fields: Mapping[str, Any] | None = None,
    models: Mapping[str, Certified] | None = None,
    on_left_out: Callable[[str], None] = lambda model: None,
) -> Submission:
    """A submission of a folder: results of `knowncircuits score`, or files of scores.

    Args:
        folder: a method's results, or `CASE/VARIANT.json`, `CASE/VARIANT/SEED.json` or `CASE.json`
            (of seed0) in EAP-IG's format, or the same with `.csv`: `edge,score`, or a column for
            each seed.
        fields: of `submission.json`, in place of what the runs say. Files of scores say little:
            there `id`, `title`, `version`, `authors`, `rank_by` and `conventions.n_pairs` are to
            be given, and `zoo` where it is not the default. With the zoo `own` results are of the
            user's own models.
        models: the certified models, by default those of the release; see `own_models` for others.
        on_left_out: told of each model, `CASE/VARIANT`, that is not of such a zoo, and whose
            results are left out.

    Raises:
        SubmissionError: listing everything that is wrong.
        ResultError: for a folder without such files, or files that cannot be read.
    """
    folder = Path(folder)
    if is_run(folder):
        from knowncircuits.evaluation.runs.results import read_results

        return from_results(read_results(folder), fields, models, on_left_out)
    return from_files(folder, fields, models)


def is_run(folder: Path) -> bool:
    """Whether the first JSON file of a folder is a result of a run."""
    first = min(folder.rglob("*.json"), default=None)
    return first is not None and "settings" in read_graph_file(first).document


def from_results(
    results: Sequence[Result],
    fields: Mapping[str, Any] | None = None,
    models: Mapping[str, Certified] | None = None,
    on_left_out: Callable[[str], None] = lambda model: None,
) -> Submission:
    """A submission of one method's results; see `make_submission`."""
    said: BoardZoo | None = (fields or {}).get("zoo")
    if said == OWN:
        models = certified_models(said) if models is None else models
        keyed = [(_own_key(result, models), result) for result in results]
    else:
        keyed = [(f"{r.case}/{r.variant}" if r.zoo else None, r) for r in results]
    for model in dict.fromkeys(f"{r.case}/{r.variant}" for key, r in keyed if key is None):
        on_left_out(model)
    ranked = [(key, result) for key, result in keyed if key is not None]
    if not ranked:
        raise ResultError("expected results on certified models, got those of other models only")
    results = [result for _, result in ranked]
    first = results[0]
    zoos = list(dict.fromkeys([r.zoo or OWN for r in results] + [said] * (said is not None)))
    if len(zoos) > 1:
        problem = f"expected results on models of one zoo, got {few(list(map(str, zoos)))}"
        raise SubmissionError(first.label, [problem])
    zoo = zoos[0]
    models = certified_models(zoo) if models is None else models
    problems = [
        f"expected runs that have the same {name}, got {few(values)}"
        for name in SAME
        if len(values := list(dict.fromkeys(repr(r.settings.get(name)) for r in results))) > 1
    ]
    found: dict[str, dict[int, Result]] = defaultdict(dict)
    for key, result in ranked:
        found[key][result.seed] = result
    hashes = {key: str(next(iter(runs.values())).settings["model"]) for key, runs in found.items()}
    problems += _wrong_models(hashes, models)
    problems += [
        f"{key}: expected scores of one model, got runs of several"
        for key, runs in found.items()
        if len({run.settings["model"] for run in runs.values()}) > 1
    ]
    seeds, wrong = _seeds({key: list(runs) for key, runs in found.items()})
    problems += wrong
    if problems:
        raise SubmissionError(first.label, problems)
    ordered = {key: [found[key][seed] for seed in seeds] for key in models if key in found}
    costs = [(r.scores.forward_passes, r.scores.backward_passes) for r in results]
    bounded = least_budget(most_passes(costs, first.settings["n_pairs"])) is not None
    return _submission(
        first.label,
        {
            **_about(first, seeds),
            "options": _options(results),
            # The options are those of all runs; see `SAME`.
            "division": "closed" if bounded else "open",
            "rank_by": first.scores.rank_by,
            "conventions": {
                "seeds": seeds,
                **{name: first.settings[name] for name in SAME[2:6]},
            },
            "benchmark": first.settings["version"],
            "zoo": zoo,
            "models": {key: hashes[key] for key in ordered},
            "costs": {key: [_cost(run) for run in runs] for key, runs in ordered.items()},
        },
        fields,
        {key: np.stack([run.scores.values for run in runs]) for key, runs in ordered.items()},
    )


def _own_key(result: Result, models: Mapping[str, Certified]) -> str | None:
    """Which of a user's own models a result is of; they are known by their weights."""
    if not result.own:
        return None
    wanted = result.case, result.settings["model"]
    return next((key for key, m in models.items() if (m.case, m.weights) == wanted), None)


def from_files(
    folder: Path,
    fields: Mapping[str, Any] | None = None,
    models: Mapping[str, Certified] | None = None,
) -> Submission:
    """A submission of files of scores; see `make_submission`."""
    zoo: BoardZoo = (fields or {}).get("zoo", DEFAULT_ZOO)
    models = certified_models(zoo) if models is None else models
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".csv"))
    if not paths:
        raise ResultError(f"expected files of scores in {folder}, got none")
    rank_by = (fields or {}).get("rank_by", "absolute")
    found: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    problems = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            key, seed = _place(path.relative_to(folder), models)
            if key not in models:
                raise ResultError(f"{key} is no certified model of {zoo_name(zoo)}")
            for own_seed, values in _read_scores(path, models[key], rank_by).items():
                found[key][seed if own_seed is None else own_seed] = values
        except (ResultError, GraphError) as error:
            problems.append(f"{name}: {error}")
    seeds, wrong = _seeds({key: list(columns) for key, columns in found.items()})
    if problems or wrong:
        raise SubmissionError(folder.name, [*problems, *wrong])
    ordered = {key: found[key] for key in models if key in found}
    return _submission(
        folder.name,
        {
            "conventions": {"seeds": seeds},
            "benchmark": version("knowncircuits"),
            "zoo": zoo,
            "models": {key: models[key].weights for key in ordered},
        },
        fields,
        {key: np.stack([columns[seed] for seed in seeds]) for key, columns in ordered.items()},
    )


def _submission(
    name: str,
    known: Mapping[str, Any],
    fields: Mapping[str, Any] | None,
    scores: Mapping[str, np.ndarray],
) -> Submission:
    """A submission whose description is what is known, and what is said in place of it."""
    document: dict[str, Any] = {"schema_version": VERSION, "id": name, **known}
    for field, value in (fields or {}).items():
        if isinstance(value, Mapping) and field == "conventions":
            value = {**document.get(field, {}), **value}
        document[field] = value
    try:
        description = Description.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        wrong = [in_words(e["loc"], e["msg"]) for e in error.errors(include_url=False)]
        raise SubmissionError(name, wrong) from None
    if description.contradictions:
        raise SubmissionError(name, description.contradictions)
    return Submission(description, scores)


def _about(result: Result, seeds: Sequence[int]) -> dict[str, Any]:
    """What is known of a method of ours."""
    method = str(result.settings["method"])
    command = {"command": command_of(result, seeds)}
    if method not in OURS:
        return command
    text = (load_method(method).run.__doc__ or "").strip()
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return command | {
        "title": result.label,
        "version": version("knowncircuits"),
        "kind": "control" if method in CONTROLS else "method",
        "authors": [{"name": "knowncircuits"}],
        "description": paragraph,
    }


def command_of(result: Result, seeds: Sequence[int]) -> str:
    """The command that gives a result on all models, for seeds one after another, or several."""
    settings = result.settings
    words = ["knowncircuits", "score", str(settings["method"])]
    words += ["--zoo", "FOLDER" if result.own else str(result.zoo), "--variant", "all"]
    words += ["--pairs", str(settings["n_pairs"])]
    for name, default in (("metric", None), ("corruption", "resample"), ("ablation", "resample")):
        if settings[name] != default:
            words += [f"--{name}", str(settings[name])]
    for name, value in settings["options"].items():
        words += ["-x", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if settings.get("threads", 1) != 1:
        words += ["--threads", str(settings["threads"])]
    if result.label != str(settings["method"]).replace(":", "."):
        words += ["--label", result.label]
    starts = [seed for seed in seeds if seed - 1 not in seeds]
    commands = []
    for start in starts:
        n = next(n for n in range(1, len(seeds) + 1) if start + n not in seeds)
        first = ["--seed", str(start)] if start else []
        commands.append(shlex.join([*words, *first, "--seeds", str(n)]))
    return " && ".join(commands)


def _options(results: Sequence[Result]) -> dict[str, Any]:
    """All options of the method; a seed that each run has its own of is none of them."""
    first = results[0].scores.options
    return {
        name: value
        for name, value in first.items()
        if name != "seed" or name in results[0].settings["options"]
    }


def _cost(result: Result) -> dict[str, Any]:
    return {
        "seconds": round(float(result.scores.seconds), 6),
        "forward_passes": result.scores.forward_passes,
        "backward_passes": result.scores.backward_passes,
        "peak_memory_bytes": result.scores.peak_memory,
    }


def _wrong_models(hashes: Mapping[str, str], models: Mapping[str, Certified]) -> list[str]:
    problems = []
    if unknown := sorted(set(hashes) - set(models)):
        problems.append(f"expected runs on certified models, got {few(unknown)}")
    for key in sorted(set(hashes) & set(models)):
        if hashes[key] != models[key].weights:
            problems.append(
                f"{key}: expected weights {models[key].weights[:12]}, got {hashes[key][:12]}"
            )
    return problems


def _seeds(found: Mapping[str, Sequence[int]]) -> tuple[list[int], list[str]]:
    """The seeds of all models, and models that lack some of them."""
    seeds = sorted({seed for there in found.values() for seed in there})
    lacking = [key for key, there in found.items() if len(there) < len(seeds)]
    if not lacking:
        return seeds, []
    return seeds, [f"expected seeds {seeds} of every model, not all are there of {few(lacking)}"]


def _place(path: Path, models: Mapping[str, Certified]) -> tuple[str, int]:
    """The model and the seed that a file's place says."""
    *folders, last = path.with_suffix("").parts
    if not folders:
        return f"{last}/seed0", 0
    shipped = any(last in of_zoo for of_zoo in VARIANTS.values())
    if len(folders) == 1 and (shipped or f"{folders[0]}/{last}" in models):
        return f"{folders[0]}/{last}", 0
    if len(folders) == 2 and re.fullmatch("[0-9]{1,10}", last):
        return "/".join(folders), int(last)
    raise ResultError("expected CASE/VARIANT, CASE/VARIANT/SEED or CASE")


def _read_scores(path: Path, model: Certified, rank_by: str) -> dict[int | None, np.ndarray]:
    """Scores by seed; None where the file does not say which."""
    graph = model.circuit.graph
    if path.suffix == ".json":
        return {None: edge_scores(str(path), graph, path.name, rank_by)}  # type: ignore[arg-type]
    try:
        text = read_bytes(path, "a table of scores", MAX_CSV).decode("utf-8")
        rows = list(csv.reader(io.StringIO(text)))
    except (ValueError, csv.Error) as error:
        raise ResultError(f"expected a table: {error}") from error
    header, rows = (rows[0], rows[1:]) if rows else ([], [])
    columns = header[1:]
    if not columns or header[0] != "edge" or not _named(columns):
        raise ResultError(
            f"expected the header edge,score or edge,0,1,..., got {','.join(header)!r}"
        )
    if uneven := [str(i) for i, row in enumerate(rows, start=2) if len(row) != len(header)]:
        raise ResultError(f"expected {len(header)} fields in a row, got others in {few(uneven)}")
    names = [row[0] for row in rows]
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise ResultError(f"duplicated edges: {few(twice)}")
    return {
        None if column == "score" else int(column): edge_scores(
            {row[0]: row[i] for row in rows},
            graph,
            path.name,
            rank_by,  # type: ignore[arg-type]
        )
        for i, column in enumerate(columns, start=1)
    }


def _named(columns: Iterable[str]) -> bool:
    columns = list(columns)
    return columns == ["score"] or all(re.fullmatch("[0-9]{1,10}", c) for c in columns)
