"""Locust's entry: `luxe bench` runs it, and so does Locust itself, with its web page:

locust -f benchmarks/locustfile.py --host 127.0.0.1:8001 --model comment-intent
"""

from luxe_bench.user import OpenLoopUser

__all__ = ["OpenLoopUser"]
