"""Counts in a file, one line for each number, and knows nothing of the sidecar."""
import os, signal, sys, time

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
path = os.path.join(folder, "count")
is_stopping = False


def stop(*_):
    # An Event would deadlock if the signal interrupts its own wait().
    global is_stopping
    is_stopping = True


signal.signal(signal.SIGTERM, stop)

count = int(open(path).read()) if os.path.exists(path) else 0
print(f"start {count}", flush=True)
while not is_stopping:
    time.sleep(0.02)
    count += 1
    with open(path + ".new", "w") as file:
        file.write(str(count))
    os.replace(path + ".new", path)
    print(f"count {count}", flush=True)
print(f"end {count}", flush=True)
