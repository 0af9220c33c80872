"""What runs of Weights & Biases left offline, read without W&B's own reader; see `wandb_home`."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024


def records(path: Path) -> Iterator[Any]:
    """The records of a run: protobufs in LevelDB's log format, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@dataclasses.dataclass
class Logged:
    """What one run's file says."""

    run_id: str
    config: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    artifacts: dict[str, Any]
    exit_code: int | None
    tables: dict[str, Any]  # by the name under which they were logged


def read(folder: Path) -> Logged:
    def values(items: Any) -> dict[str, Any]:
        return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}

    (path,) = folder.glob("run-*.wandb")
    logged = Logged("", {}, [], {}, {}, None, {})
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            logged.run_id = record.run.run_id
            logged.config = {u.key: json.loads(u.value_json) for u in record.run.config.update}
        elif kind == "history":
            logged.history.append(values(record.history.item))
        elif kind == "summary":
            logged.summary |= values(record.summary.update)
        elif kind == "artifact":
            contents = {entry.path for entry in record.artifact.manifest.contents}
            logged.artifacts[record.artifact.type] = (record.artifact.name, contents)
        elif kind == "exit":
            logged.exit_code = record.exit.exit_code
    for table in (folder / "files").rglob("*.table.json"):
        name = table.name.rpartition("_")[0].rpartition("_")[0]
        logged.tables[name] = json.loads(table.read_text())
    return logged


def runs(tmp_path: Path) -> list[Logged]:
    import wandb

    wandb.teardown()  # its process may write on for a moment after a run has finished
    return [read(folder) for folder in sorted((tmp_path / "home" / "wandb").glob("offline-run-*"))]
