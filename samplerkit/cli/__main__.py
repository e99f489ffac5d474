"""``python -m samplerkit.cli``."""

import sys

from samplerkit.cli import main

sys.exit(main())
