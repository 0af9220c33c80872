from . import (
    comparison as comparison,
    components as components,
    effects as effects,
    faithfulness as faithfulness,
    figures as figures,
    hardness as hardness,
    methods as methods,
    modalities as modalities,
    runs as runs,
    scoring as scoring,
    truth as truth,
)
from .answers import Answers as Answers
from .task import Task as Task, make_task as make_task
from .text import text_task as text_task
