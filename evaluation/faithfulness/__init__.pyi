from .completeness import (
    Completeness as Completeness,
    Minimality as Minimality,
    completeness as completeness,
    minimality as minimality,
)
from .construction import greedy as greedy, top_n as top_n
from .growth import Faithfulness as Faithfulness, faithfulness as faithfulness
from .runs import faithfulness_table as faithfulness_table
