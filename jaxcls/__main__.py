"""python -m jaxcls."""

import sys

from jaxcls import cli

sys.exit(cli.main())
