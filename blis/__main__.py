"""``python -m blis``."""

import sys

from blis_sim import main

sys.exit(main())
