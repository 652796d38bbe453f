"""Workers of DistCompute, the tracker for jobs of any kind, in place of `distcompute_client`::

    import crawlingathome.distcompute as dc

    client = dc.init(url="http://127.0.0.1:8080", stage="a", nickname="ada")
    while client.job_count() > 0:
        client.new_job()
        client.complete_job({"made of": client.job})
    client.bye()
"""

from . import errors
from .client import Client, init

__all__ = ["Client", "errors", "init"]
