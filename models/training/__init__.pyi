from .config import SIIT as SIIT, TrainingConfig as TrainingConfig
from .sizes import low_level_config as low_level_config
from .trainer import Trainer as Trainer, train as train
