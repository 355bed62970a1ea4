"""Tests of handlers: `MockPlatformClient` in memory, or `MockPlatform` over real HTTP."""

from luml_satellite_sdk.testing.mocks import MockPlatformClient, mock_task
from luml_satellite_sdk.testing.platform import MockPlatform

__all__ = ["MockPlatform", "MockPlatformClient", "mock_task"]
