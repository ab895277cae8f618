import sys
from pathlib import Path

# pytest's importlib mode keeps test folders off the path; what unit and e2e tests share is no test itself.
sys.path.append(str(Path(__file__).parent))
