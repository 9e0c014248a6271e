"""Tests of the page at / of a server, in a real browser."""
