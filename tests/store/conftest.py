"""Makes `given.py` and `processes.py` of this folder importable, in child processes too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
