"""``python -m blis``."""

import sys

from blis.cli.main import main

sys.exit(main())
