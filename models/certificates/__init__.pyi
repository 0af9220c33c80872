from .certificate import (
    Certificate as Certificate,
    certify as certify,
    read_certificate as read_certificate,
)
from .placed import Placed as Placed
from .recheck import recheck as recheck
from .summary import Summary as Summary
