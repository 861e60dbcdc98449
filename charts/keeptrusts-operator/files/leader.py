"""Every replica behind a headless Service is ready, and exactly one of them leads. Arguments: host, replicas."""

import socket
import sys
import time
import urllib.error
import urllib.request

PORT = 8080
SECONDS = 60


def get(address, path):
    where = f"[{address}]" if ":" in address else address
    with urllib.request.urlopen(f"http://{where}:{PORT}{path}", timeout=3) as answer:
        return answer.read().decode()


def problem(host, replicas):
    """What is not as it should be; empty when all is well."""
    try:
        addresses = sorted({row[4][0] for row in socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)})
        leaders = 0
        for address in addresses:
            get(address, "/readyz")
            leaders += "\nkeeptrusts_operator_leader 1.0" in get(address, "/metrics")
    except OSError as error:  # names that do not resolve, refused connections, 503 of /readyz
        return f"{type(error).__name__}: {error}"
    if len(addresses) < replicas:
        return f"{len(addresses)} of {replicas} replicas are ready"
    return "" if leaders == 1 else f"{leaders} replicas lead, instead of one"


def main():
    host, replicas = sys.argv[1], int(sys.argv[2])
    end = time.monotonic() + SECONDS
    while (what := problem(host, replicas)) and time.monotonic() < end:
        time.sleep(1)
    print(what or f"{replicas} replicas are ready, one leads")
    sys.exit(1 if what else 0)


if __name__ == "__main__":
    main()
