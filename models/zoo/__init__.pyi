from .check import CERTIFIED_PAIRS as CERTIFIED_PAIRS, PAIRS as PAIRS, check_model as check_model
from .duplicates import find_duplicates as find_duplicates
from .from_case import train as train
from .plans import Plan as Plan, plan_model as plan_model
from .produce import (
    Outcome as Outcome,
    make_models as make_models,
    with_certificate as with_certificate,
)
from .shelf import (
    Zoo as Zoo,
    find_zoo as find_zoo,
    list_models as list_models,
    load_model as load_model,
    shipped as shipped,
)
from .variants import VARIANTS as VARIANTS, Variant as Variant
