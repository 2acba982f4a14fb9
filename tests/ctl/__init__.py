"""Tests of ``iptvctl``."""
