# Ask every address behind a URL, until so many say that they are ready: ready.py URL COUNT [SECONDS]
import socket
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

url, count, patience_s = sys.argv[1], int(sys.argv[2]), float((sys.argv[3:] or ["60"])[0])
parts = urlsplit(url)


def ask(address):
    shown = f"[{address}]" if ":" in address else address
    try:
        with urllib.request.urlopen(f"http://{shown}:{parts.port}{parts.path}", timeout=5) as answer:
            return answer.status == 200, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return False, refused.read().decode()
    except OSError as error:
        return False, f"no answer: {error}"


def addresses():
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)})
    except OSError as error:
        print(f"{parts.hostname}: {error}", flush=True)
        return []


give_up_at = time.monotonic() + patience_s
while True:
    answers = {address: ask(address) for address in addresses()}
    ready = sum(is_ready for is_ready, _ in answers.values())
    if ready >= count or time.monotonic() > give_up_at:
        break
    time.sleep(1)
for address, (_, said) in answers.items():
    print(f"{address}: {', '.join(said.split(chr(10))).strip(', ')}")
print(f"{ready} of {count} replicas are ready")
sys.exit(0 if ready >= count else 1)
