from .experiment import Experiment as Experiment
from .registry import EXPERIMENTS as EXPERIMENTS, hard_cases as hard_cases
