"""``python -m proxyspex_hf`` is the command ``proxyspex-hf``."""

import sys

from proxyspex_hf.cli.main import main

sys.exit(main())
