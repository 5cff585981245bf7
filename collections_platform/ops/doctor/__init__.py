"""What is wrong with an installation, and what to do about it."""

from collections_platform.ops.doctor.examination import Examination, examine

__all__ = ["Examination", "examine"]
