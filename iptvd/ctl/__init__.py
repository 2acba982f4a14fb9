"""``iptvctl``: the daemon's command line, which does what it does over the API alone."""
