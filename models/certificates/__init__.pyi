from .certificate import Certificate as Certificate, read_certificate as read_certificate
from .certifying import certify as certify
from .placed import Placed as Placed
from .recheck import recheck as recheck
from .summary import Summary as Summary
