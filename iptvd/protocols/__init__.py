"""Wire formats and the protocols that speak them: pure parsers, and the Twisted classes that carry bytes."""
