from . import (
    cases as cases,
    compat as compat,
    compiler as compiler,
    evaluation as evaluation,
    leaderboard as leaderboard,
    models as models,
    names as names,
    rasp as rasp,
)
from .architecture import TransformerConfig as TransformerConfig
from .backward import BackwardRules as BackwardRules
from .cases.case import Case as Case
from .cases.registry import list_cases as list_cases, load_case as load_case
from .circuit import Circuit as Circuit, Label as Label
from .compiler.compile import compile_program as compile_program
from .compiler.compiled import Compiled as Compiled
from .rasp.validation import validate as validate
from .correspondence import Correspondence as Correspondence
from .errors import KnownCircuitsError as KnownCircuitsError
from .evaluation.components.agreement import agreement as agreement
from .evaluation.components.integrated import component_gradients as component_gradients
from .evaluation.components.patched import component_effects as component_effects
from .evaluation.answers import Answers as Answers
from .evaluation.components.act import act_patch as act_patch
from .evaluation.components.attending import (
    attention as attention,
    attention_output as attention_output,
)
from .evaluation.components.copying import copy_scores as copy_scores
from .evaluation.components.direct import backup as backup, direct_logits as direct_logits
from .evaluation.components.path import path_patch as path_patch
from .evaluation.components.roles import score_nodes as score_nodes
from .evaluation.effects.causal import causal_effects as causal_effects
from .evaluation.methods.discovery import discover as discover, methods as methods
from .evaluation.modalities.back_patching import back_patch as back_patch
from .evaluation.modalities.case_prompts import modality_prompts as modality_prompts
from .evaluation.modalities.circuits import node_circuit as node_circuit
from .evaluation.modalities.interchange import (
    interchange_faithfulness as interchange_faithfulness,
)
from .evaluation.modalities.overlap import circuit_overlap as circuit_overlap
from .evaluation.modalities.positions import position_classes as position_classes
from .evaluation.modalities.prompts import Prompts as Prompts
from .evaluation.scoring.scores import score as score
from .evaluation.task import Task as Task, make_task as make_task
from .evaluation.text import text_task as text_task
from .exchange import (
    graph_file as graph_file,
    read_graph_file as read_graph_file,
    write_graph_file as write_graph_file,
)
from .exchange_folders import read_mib_folder as read_mib_folder
from .exchange_tracer import write_tracer_graph as write_tracer_graph
from .graph import Graph as Graph
from .models.certificates.certifying import certify as certify
from .models.certificates.placed import Placed as Placed
from .models.interop.bridge import (
    BridgedModel as BridgedModel,
    to_transformer_lens as to_transformer_lens,
)
from .models.interop.hooked import to_hooked as to_hooked
from .models.interop.language_model import load_language_model as load_language_model
from .models.interop.lens_out import export_lens as export_lens
from .models.trained import Trained as Trained, load_trained as load_trained
from .models.wired.recipes import wire as wire
from .models.wired.stored import load_wired as load_wired
from .models.wired.wired import Wired as Wired
from .models.zoo.from_case import train as train
from .models.zoo.shelf import list_models as list_models, load_model as load_model
from .transformer import Transformer as Transformer
from .rasp.vocabulary import Vocabulary as Vocabulary

__version__: str
