"""llama-server's command line as data: one row for each flag, and what a row is made of.

`kinds.py` says how a value is written and how it reaches its field, `row.py` what a row holds, and the other modules hold the
rows by meaning. Nothing here imports the wheel; a row names fields and enum members as text.
"""

from corral.engines.flags.chat import CHAT
from corral.engines.flags.compute import COMPUTE
from corral.engines.flags.model import MODEL
from corral.engines.flags.row import Flag
from corral.engines.flags.sampling import SAMPLING
from corral.engines.flags.serving import SERVING
from corral.engines.flags.speculation import SPECULATION

__all__ = ["FLAGS", "Flag"]

FLAGS: tuple[Flag, ...] = (*MODEL, *COMPUTE, *SERVING, *CHAT, *SAMPLING, *SPECULATION)
"""Every flag of llama-server, in the order in which `--help` shows them."""
