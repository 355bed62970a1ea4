"""The Python code blocks of the specifications. Kept here word for word."""

LUML_ENTRY_POINT = '''
from luml_satellite_sdk import handler, run, pair, get_client

# Optional: Pairing flow (if no token exists)
# token = pair(code="ABC123", platform_url="https://api.luml.ai")

@handler("deploy")
def handle_deploy(task_id: str, payload: dict, client: PlatformClient) -> None:
    """Handler receives task_id, payload dict, and full platform client."""
    deployment = client.get_deployment(payload["deployment_id"])
    # ... do work ...
    client.update_task_status(task_id, "completed")

@handler("batch_inference")
def handle_batch(task_id: str, payload: BatchPayload, client: PlatformClient) -> None:
    """Payload can be Pydantic model (SDK validates) or dict."""
    pass

# Async handlers also supported
@handler("async_task")
async def handle_async(task_id: str, payload: dict, client: PlatformClient) -> None:
    pass

if __name__ == "__main__":
    run()  # Starts polling loop, health server
'''

LUML_PAYLOADS = """
from pydantic import BaseModel

class DeployPayload(BaseModel):
    deployment_id: str
    model_id: str
    artifact_url: str

# SDK validates payload against model if type hint is Pydantic
@handler("deploy")
def handle_deploy(task_id: str, payload: DeployPayload, client: PlatformClient) -> None:
    print(payload.deployment_id)  # Type-safe access

# dict also works - no validation
@handler("flexible")
def handle_flexible(task_id: str, payload: dict, client: PlatformClient) -> None:
    print(payload["whatever"])
"""

LUML_TESTING = """
# luml_satellite_sdk.testing module
from luml_satellite_sdk.testing import MockPlatformClient, mock_task

def test_my_handler():
    client = MockPlatformClient()
    client.add_task(mock_task(
        task_id="test-1",
        task_type="deploy",
        payload={"deployment_id": "dep-123"}
    ))

    handle_deploy("test-1", {"deployment_id": "dep-123"}, client)

    assert client.task_statuses["test-1"] == "completed"
"""

LUML_EXTRAS = """
from luml_satellite_sdk.extras import (
    download_file,      # Download from presigned URL with progress
    temp_directory,     # Context manager for temp dirs with cleanup
    retry,              # Retry decorator with backoff
)
"""

BASILICA_SYNC = """
# Synchronous usage
from basilica import BasilicaClient, DeploymentConfig

client = BasilicaClient(
    base_url="https://api.basilica.ai",
    token="your_auth_token"
)

# List available executors
executors = client.list_executors()
print(f"Available executors: {len(executors)}")

# Deploy a container
config = DeploymentConfig(
    executor_id=executors[0].id,
    image="nginx:latest",
    ssh_key="ssh-rsa ..."
)
config.cpu_cores = 2.0
config.memory_mb = 4096
config.gpu_count = 1
config.ports = [{"container": 80, "host": 8080}]

deployment = client.deploy(config)
print(f"Deployed: {deployment.id}")
print(f"SSH: {deployment.ssh_access}")

# Stop deployment
client.stop(deployment.id)
"""

BASILICA_ASYNC = """
# Async usage
import asyncio
from basilica import AsyncBasilicaClient, DeploymentConfig

async def main():
    client = AsyncBasilicaClient(
        base_url="https://api.basilica.ai", 
        token="your_auth_token"
    )
    
    # Deploy
    config = DeploymentConfig(
        executor_id="executor-123",
        image="python:3.11",
        ssh_key="ssh-rsa ..."
    )
    deployment = await client.deploy(config)
    
    # Stream logs
    async for log in client.stream_logs(deployment.id):
        print(f"[{log.timestamp}] {log.message}")
    
    # Cleanup
    await client.stop(deployment.id)

asyncio.run(main())
"""  # noqa: W291, W293

BASILICA_TESTS = """
# crates/basilica-python/tests/test_sdk.py
import pytest
from basilica import BasilicaClient, DeploymentConfig

@pytest.fixture
def client():
    return BasilicaClient(
        base_url="http://localhost:8080",
        token="test_token"
    )

def test_deployment_config():
    config = DeploymentConfig(
        executor_id="test",
        image="nginx",
        ssh_key="ssh-rsa test"
    )
    assert config.executor_id == "test"
    assert config.cpu_cores == 1.0  # default

@pytest.mark.asyncio
async def test_async_client():
    from basilica import AsyncBasilicaClient
    client = AsyncBasilicaClient(
        base_url="http://localhost:8080",
        token="test_token"
    )
    # Add async tests
"""

FAAS_SIMPLE = """
from faas import FaaSClient

client = FaaSClient()
result = await client.execute("print('Hello World')", environment="python-ai")
print(result.stdout)
"""

FAAS_SNAPSHOTS = '''
# Create a base snapshot with test environment
base = await client.snapshots.create_from_script("""
    pip install pytest
    git clone https://github.com/myrepo/project
    cd project
    pip install -r requirements.txt
""", name="test-base")

# Branch into parallel test runs
branches = await client.snapshots.restore(
    base.id,
    branch_count=10
)

# Run different test suites in parallel
results = await asyncio.gather(*[
    branch.execute(f"pytest tests/test_module_{i}.py")
    for i, branch in enumerate(branches)
])
'''

DORY_A = """
from dory import DoryApp, BaseProcessor, stateful

class MyApp(BaseProcessor):
    counter = stateful(0)  # Auto-saved and restored!

    async def run(self):
        async for _ in self.run_loop(interval=1):
            self.counter += 1

if __name__ == "__main__":
    DoryApp().run(MyApp)
"""

DORY_B = """
from dory.simple import processor, state

counter = state(0)

@processor
async def main(ctx):
    async for _ in ctx.run_loop(interval=1):
        counter.value += 1
"""

DORY_C = """
from dory import DoryApp, BaseProcessor, ExecutionContext

class MyApp(BaseProcessor):
    def __init__(self, context: ExecutionContext):
        super().__init__(context)
        self.counter = 0

    async def startup(self):
        self.context.logger().info("Starting...")

    async def run(self):
        while not self.context.is_shutdown_requested():
            self.counter += 1
            await asyncio.sleep(1)

    async def shutdown(self):
        self.context.logger().info(f"Final count: {self.counter}")

    def get_state(self):
        return {"counter": self.counter}

    async def restore_state(self, state):
        self.counter = state.get("counter", 0)

if __name__ == "__main__":
    DoryApp().run(MyApp)
"""

DORY_FUNCTION = """
from dory.simple import processor, state

counter = state(0)
sessions = state(dict)

@processor
async def main(ctx):
    logger = ctx.logger()

    async for i in ctx.run_loop(interval=1):
        counter.value += 1
        logger.info(f"Count: {counter.value}")
"""

DORY_CONTEXT = """
async def run(self):
    ctx = self.context

    # Logging with pod context
    ctx.logger().info("Processing...")

    # Pod metadata
    print(f"Pod: {ctx.pod_name}")
    print(f"Namespace: {ctx.pod_namespace}")
    print(f"Processor ID: {ctx.processor_id}")
    print(f"Restart count: {ctx.attempt_number}")

    # App config (env vars except DORY_*)
    config = ctx.config()
    model_path = config.get("MODEL_PATH")

    # Shutdown detection
    while not ctx.is_shutdown_requested():
        if ctx.is_migration_imminent():
            print("Migration coming, finishing batch...")
        await process()
"""

DORY_BEFORE = """
import asyncio
from dory import DoryApp, BaseProcessor, ExecutionContext

class MyApp(BaseProcessor):
    def __init__(self, context: ExecutionContext):
        super().__init__(context)
        self.counter = 0
        self.sessions = {}

    async def startup(self) -> None:
        pass

    async def run(self) -> None:
        while not self.context.is_shutdown_requested():
            self.counter += 1
            await asyncio.sleep(1)

    async def shutdown(self) -> None:
        pass

    def get_state(self) -> dict:
        return {"counter": self.counter, "sessions": self.sessions}

    async def restore_state(self, state: dict) -> None:
        self.counter = state.get("counter", 0)
        self.sessions = state.get("sessions", {})

if __name__ == "__main__":
    DoryApp().run(MyApp)
"""
