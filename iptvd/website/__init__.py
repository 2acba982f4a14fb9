"""Websites that list channels: their pages read by small tables, and the way from a channel to its playlist."""
