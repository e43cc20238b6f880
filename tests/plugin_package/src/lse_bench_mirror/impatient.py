"""A generator that leaves when something is missing."""

import sys

sys.exit("please install something")
