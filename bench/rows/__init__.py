"""The rows of the table: each module measures one, has a ``TITLE``, and ``run(lab)`` gives its tables."""

#: In the order they are run and shown.
NAMES = (
    "isolated",
    "shared",
    "tls",
    "memory",
    "crowd",
    "following",
    "joining",
    "failover",
    "latency",
    "hls",
    "epg",
    "flood",
)
