"""``python -m iptvd.ctl``: the command where its script is not on the path."""

from iptvd.ctl.main import NAME, iptvctl

if __name__ == "__main__":
    iptvctl(prog_name=NAME)
