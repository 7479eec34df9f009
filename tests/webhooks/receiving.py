"""A receiver of webhooks: a server on raw sockets, so that it can be as bad as one likes."""

import socket
import struct
import threading
from dataclasses import dataclass

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
RESET = b"reset"


def status(code, *headers):
    lines = [f"HTTP/1.1 {code} Something", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


@dataclass
class Received:
    head: str
    headers: dict
    body: bytes


class Receiving:
    """Gives `answers` in order, the last one from then on; with `hold`, not before `release` was called.

    RESET as an answer breaks the connection off.
    """

    def __init__(self, *answers, hold=False, tls=None, host="127.0.0.1"):
        self._answers = list(answers or [OK])
        self._released = threading.Event()
        if not hold:
            self._released.set()
        self._tls = tls
        self._lock = threading.Lock()
        self.received = []
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path="/hook", scheme="http", host="127.0.0.1"):
        return f"{scheme}://{host}:{self.port}{path}"

    def ids(self):
        return [one.headers["webhook-id"] for one in self.received]

    def release(self):
        self._released.set()

    def close(self):
        self.release()
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as stream:
                received = read_request(stream)
                if received is None:
                    return
                with self._lock:
                    self.received.append(received)
                    answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                self._released.wait()
                if answer is RESET:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    stream.sendall(answer)
        except OSError:
            return  # who sent it has gone


def read_request(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = stream.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += stream.recv(65536)
    return Received(first, headers, body)
