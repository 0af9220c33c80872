from . import hub as hub, site as site
from .board import Board as Board, rank_submissions as rank_submissions
from .making import make_submission as make_submission
from .site.build import build_site as build_site
from .submission import (
    Submission as Submission,
    read_submission as read_submission,
    read_submissions as read_submissions,
    write_submission as write_submission,
)
