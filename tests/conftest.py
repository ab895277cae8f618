import os
import signal
import sys
from pathlib import Path

# pytest's importlib mode keeps test folders off the path; what unit and e2e tests share is no test itself.
sys.path.append(str(Path(__file__).parent))

# Workers of pytest-xdist ignore Ctrl-C, and what they start would inherit that.
if "PYTEST_XDIST_WORKER" in os.environ:
    signal.signal(signal.SIGINT, signal.default_int_handler)
