"""`python -m collections_platform.ops.cluster`: django-q's qcluster without orphans.

The queue's processes live on when the one above them is killed, and go on executing tasks; here
each is tied to the one that forked it, and the first to the `run_worker` that started it.
"""

import os

from django.core.management import execute_from_command_line

from collections_platform.ops.tether import tie_process_tree

if __name__ == "__main__":
    tie_process_tree()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collections_platform.settings")
    execute_from_command_line(["manage.py", "qcluster"])
