"""
The providers: one file each, found by being here.

Any ``iptvd/providers/`` folder without an ``__init__.py`` on ``sys.path`` is searched too, as are the folders of the
``provider_dirs`` setting (see `iptvd.discovery`).
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
