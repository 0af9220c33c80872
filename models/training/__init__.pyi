from .trainer import (
    SIIT as SIIT,
    TrainingConfig as TrainingConfig,
    low_level_config as low_level_config,
    train as train,
)
