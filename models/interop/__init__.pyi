from .bridge import BridgedModel as BridgedModel, to_transformer_lens as to_transformer_lens
from .edge_pruning import (
    edge_pruning_names as edge_pruning_names,
    from_edge_pruning_names as from_edge_pruning_names,
    to_edge_pruning as to_edge_pruning,
)
from .hugging_face import (
    export_hugging_face as export_hugging_face,
    to_hugging_face as to_hugging_face,
)
from .hooked import HookedTwin as HookedTwin, lens_config as lens_config, to_hooked as to_hooked
from .iit import HighLevelModel as HighLevelModel, low_level_places as low_level_places
from .interpbench import InterpBenchModel as InterpBenchModel, load_interpbench as load_interpbench
from .language_model import (
    LanguageModel as LanguageModel,
    load_language_model as load_language_model,
)
from .interpbench_out import export_interpbench as export_interpbench
from .lens import from_lens_config as from_lens_config, from_lens_state_dict as from_lens_state_dict
from .lens_out import (
    export_lens as export_lens,
    lens_fields as lens_fields,
    lens_state_dict as lens_state_dict,
    strict_state_dict as strict_state_dict,
)
from .tokenizer import tokenizer_files as tokenizer_files
from .tracr import from_tracr as from_tracr
