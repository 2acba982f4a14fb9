"""The resource tree on the one port: a file for each face."""
