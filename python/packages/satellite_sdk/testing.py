"""Mock servers on loopback, for tests of programs that use the clients.

`MockPlatform` is in `luml_satellite_sdk.testing`. A fault is written as for that one.
"""

from satellite_sdk._native import MockBasilica, MockFaas

__all__ = ["MockBasilica", "MockFaas"]
