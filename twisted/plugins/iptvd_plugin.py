"""Makes ``twistd iptvd`` known to twistd: strings only, so that nothing is imported before it is asked for."""

from twisted.application.service import ServiceMaker

iptvd = ServiceMaker(
    "iptvd",
    "iptvd.tap",
    "A self-hosted IPTV proxy: channels from providers, for every player.",
    "iptvd",
)
