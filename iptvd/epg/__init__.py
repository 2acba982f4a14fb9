"""The guide: XMLTV in, a database, what is on, and XMLTV out."""
