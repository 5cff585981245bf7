"""What Schemathesis cannot guess, for it to come past the checks of single fields."""

from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies

MOBILE = strategies.integers(0, 9_999_999).map(lambda number: f"+96650{number:07d}")

schemathesis.openapi.format("phone", MOBILE)
schemathesis.openapi.format("time-zone", strategies.sampled_from(sorted(available_timezones())))
