"""How gunicorn serves the platform: `gunicorn -c python:collections_platform.ops.gunicorn_conf`."""

from collections_platform.ops.tether import tie_process_tree

wsgi_app = "collections_platform.wsgi"
worker_class = "collections_platform.ops.gunicorn_worker.Worker"
workers = 2
threads = 8
timeout = 120
graceful_timeout = 10  # seconds for the requests in flight when it is asked to stop
accesslog = None
errorlog = "-"
loglevel = "warning"
control_socket_disable = True  # its default path is one per user, not one per installation

tie_process_tree()
