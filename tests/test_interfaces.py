"""Whoever says that it has one of our interfaces has all of it."""

from __future__ import annotations

from treq.testing import RequestTraversalAgent
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface import implementedBy
from zope.interface.verify import verifyClass, verifyObject

from iptvd import interfaces
from iptvd.fetch import Fetcher
from iptvd.interfaces import (
    IArchive,
    IFetcher,
    IGuided,
    IPosts,
    IProvider,
    IProviderMaker,
    IRenews,
    IScheduled,
    IShortGuide,
    IStore,
)
from iptvd.providers.channels import ChannelsProvider
from iptvd.providers.daddylive import DaddyliveProvider
from iptvd.providers.demo import DemoProvider
from iptvd.providers.m3u import M3UProvider
from iptvd.providers.xtream import XtreamProvider
from iptvd.sqlite_store import SqliteStore
from tests.doubles import Kept, Web
from tests.providers.test_contract import MODULES, makers_in

#: What each class says that it has.
SAID = {
    Fetcher: (IFetcher, IPosts),
    ChannelsProvider: (IProvider,),
    DaddyliveProvider: (IProvider, IScheduled, IRenews),
    DemoProvider: (IProvider,),
    M3UProvider: (IProvider, IArchive),
    XtreamProvider: (IProvider, IGuided, IShortGuide, IArchive),
    SqliteStore: (IStore,),
}


class InterfacesTests(SynchronousTestCase):
    def test_nobody_says_more_or_less(self) -> None:
        """What a class says that it has is what it is known for: plugins are asked for nothing else."""
        for each, said in SAID.items():
            ours = [interface for interface in implementedBy(each) if interface.__module__ == interfaces.__name__]
            self.assertEqual(ours, list(said), each)

    def test_whoever_says_so_has_it(self) -> None:
        """Each method is there and can be called as the interface says."""
        for each, said in SAID.items():
            for interface in said:
                self.assertTrue(verifyClass(interface, each), each)

    def test_the_fetcher_at_work(self) -> None:
        """The daemon's own fetcher, as providers are given it, asks with GET and with POST."""
        fetcher = Fetcher(Clock(), lambda verify: RequestTraversalAgent(Resource()), "iptvd/test")
        for interface in (IFetcher, IPosts):
            self.assertTrue(verifyObject(interface, fetcher))

    def test_makers(self) -> None:
        """Every plugin is a maker of providers, with all that belongs to one."""
        makers = [maker for module in MODULES for maker in makers_in(module)]
        providers = [each for each, said in SAID.items() if IProvider in said]
        self.assertEqual(len({maker.kind for maker in makers}), len(providers))
        for maker in makers:
            self.assertTrue(verifyObject(IProviderMaker, maker))

    def test_what_tests_have_instead(self) -> None:
        """What stands for the fetcher and the store in tests can be called like them."""
        self.assertTrue(verifyClass(IFetcher, Web, tentative=True))
        self.assertTrue(verifyClass(IStore, Kept, tentative=True))
