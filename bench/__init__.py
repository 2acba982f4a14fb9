"""What iptvd costs and how quick it is, measured beside nginx and HAProxy: see README.md."""
