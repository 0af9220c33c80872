from .results import Result as Result, read_result as read_result, read_results as read_results
from .running import Job as Job, run as run
from .settings import Settings as Settings
