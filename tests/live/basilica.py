"""The official client against a server at the address and with the key that it is told."""

import sys

from basilica import BasilicaClient

url, key = sys.argv[1:]
client = BasilicaClient(url, key)

assert client.health_check().status == "healthy"
nodes = client.list_nodes(available=True)
assert nodes and nodes[0].node.gpu_specs, nodes

# deploy() waits until the deployment is ready: replicas, DNS, and a response at its URL.
deployment = client.deploy("my-app", image="nginx:1", port=8080, env={"A": "b"}, timeout=60)
assert deployment.state in ("Active", "Running"), deployment.state
assert deployment.name != "my-app" and deployment.friendly_name == "my-app"
assert deployment.image == "nginx:1"
status = deployment.wait_until_ready(timeout=60, poll_interval=1, silent=True)
assert status.is_ready and status.replicas_ready == 1, status

assert client.get(deployment.name).url == deployment.url
assert client.get_by_name("my-app").name == deployment.name
assert [one.name for one in client.list()] == [deployment.name]
events = client.get_deployment_events(deployment.name, 5)["events"]
assert events and events[0]["reason"] == "Pulled" and events[0]["last_timestamp"], events
client.get_deployment_logs(deployment.name, tail=5)
client.restart_deployment(deployment.name)
deployment.wait_until_ready(timeout=60, poll_interval=1, silent=True)

assert client.get_ssh_key() is None
registered = client.register_ssh_key("laptop", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@edge")
assert client.get_ssh_key().id == registered.id
client.delete_ssh_key()
assert client.get_ssh_key() is None

assert client.list_cpu_offerings()[0].vcpu_count == 8
assert client.get_balance()["balance"] == "12.500000"
usage = client.list_usage_history(limit=5)
assert usage["total_count"] == 1 and usage["rentals"][0]["rental_id"] == deployment.name, usage

deployment.delete()
try:
    client.get(deployment.name)
except Exception as error:
    assert type(error).__name__ == "DeploymentNotFound", repr(error)
else:
    raise AssertionError("it is still there")
