"""
iptvd for ``twistd -y``: the same daemon as ``twistd iptvd``, its settings from the environment and the settings file.

    IPTVD_PROVIDER=demo twistd -n -y iptvd.tac
"""

from twisted.application.service import Application

from iptvd.tap import Options, makeService

options = Options()
options.parseOptions([])
application = Application("iptvd")
makeService(options).setServiceParent(application)
