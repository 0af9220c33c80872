"""Our circuits and scores as graphs, read by the models that circuit-tracer writes its own with."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from circuit_tracer.frontend.graph_models import Model
from circuit_tracer.frontend.local_server import serve

import knowncircuits as kc

CASES, N_PAIRS, PORT = ("histogram", "fraction_of_x"), 20, 8046

counts = []
with TemporaryDirectory() as folder:
    for case in CASES:
        trained = kc.load_model(case)
        scores = kc.discover("exact", kc.make_task(trained, n_pairs=N_PAIRS))
        kc.write_tracer_graph(trained.circuit, f"{folder}/{case}.json")
        kc.write_tracer_graph(scores, f"{folder}/{case}-exact.json")
    server = serve(folder, port=PORT)
    for path in sorted(Path(folder).glob("*.json")):
        with urlopen(f"http://localhost:{PORT}/data/{path.name}") as answer:
            document = json.load(answer)
        if "graphs" in document:
            assert len(document["graphs"]) == 2 * len(CASES)
            continue
        graph = Model.model_validate(document)
        names = {node.node_id for node in graph.nodes}
        assert all({link["source"], link["target"]} <= names for link in graph.links)
        assert json.loads(graph.model_dump_json()) == document
        counts.append(f"{graph.metadata.slug} {len(graph.nodes)} nodes, {len(graph.links)} links")
    server.stop()
print(f"served and read again: {'; '.join(counts)}")
