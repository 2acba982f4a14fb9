"""A self-hosted IPTV proxy: providers in, every player out."""

__version__ = "0.1.0"
