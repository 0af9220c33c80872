from .activations import activation_sankey as activation_sankey
from .attending import (
    attention_figure as attention_figure,
    attention_output_figure as attention_output_figure,
)
from .agreement import agreement_figure as agreement_figure
from .circuit import circuit_effects_figure as circuit_effects_figure
from .component_bars import component_bars as component_bars
from .curves import effects_figure as effects_figure
from .faithfulness import faithfulness_figure as faithfulness_figure
from .head_positions import head_positions_figure as head_positions_figure
from .heads import heads_figure as heads_figure
from .heatmap import effects_heatmap as effects_heatmap
from .modalities import modality_figure as modality_figure
from .pictures import in_notebook as in_notebook, save_figure as save_figure
from .sankey import circuit_sankey as circuit_sankey
from .theme import THEMES as THEMES
