"""Tests of how websites that list channels are read and followed."""
