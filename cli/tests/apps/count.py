"""Counts in a file, one line for each number, and knows nothing of the sidecar."""
import http.server, os, signal, sys, threading, time

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
path = os.path.join(folder, "count")
stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

count = int(open(path).read()) if os.path.exists(path) else 0
print(f"start {count}", flush=True)
while not stopping.wait(0.02):
    count += 1
    with open(path + ".new", "w") as file:
        file.write(str(count))
    os.replace(path + ".new", path)
    print(f"count {count}", flush=True)
print(f"end {count}", flush=True)
