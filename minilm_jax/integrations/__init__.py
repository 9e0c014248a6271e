"""Adapters: the encoder behind the interfaces of other libraries, one module and one extra for each."""
