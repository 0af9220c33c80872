from .alignment import unembedding_similarity as unembedding_similarity
from .attribution import node_scores as node_scores
from .back_patching import BackPatching as BackPatching, back_patch as back_patch
from .case_prompts import modality_prompts as modality_prompts
from .circuits import (
    first_share as first_share,
    node_circuit as node_circuit,
    node_faithfulness as node_faithfulness,
    node_faithfulness_curve as node_faithfulness_curve,
    random_circuit as random_circuit,
)
from .interchange import interchange_faithfulness as interchange_faithfulness
from .nodes import NodeCircuit as NodeCircuit, NodeScores as NodeScores
from .overlap import circuit_overlap as circuit_overlap, expected_overlap as expected_overlap
from .positions import (
    PositionClasses as PositionClasses,
    PositionMapping as PositionMapping,
    map_positions as map_positions,
    position_classes as position_classes,
)
from .prompts import Prompts as Prompts
from .study import ModalityStudy as ModalityStudy, study_modalities as study_modalities
