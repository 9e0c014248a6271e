"""Tests of the adapters with the packages that they adapt to."""
