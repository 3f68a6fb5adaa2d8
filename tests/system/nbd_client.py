"""A small NBD client, for tests that need to know when exactly a request began and how it ended."""
import socket
import struct

EPERM = 1
READ, WRITE = 0, 1


class Refused(Exception):
    """The server answered with an error, or ended the connection."""


class NbdClient:
    """One connection to an export; not for several threads."""

    def __init__(self, socket_path, export, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(socket_path)
        if self._receive(16) != b"NBDMAGICIHAVEOPT":
            raise Refused("not an NBD server")
        self._receive(2)
        name = export.encode()
        # Fixed newstyle without zeroes; NBD_OPT_EXPORT_NAME is answered when the export is open.
        self.socket.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, len(name)) +
                            name)
        self.size_bytes, self.flags = struct.unpack(">QH", self._receive(10))
        self.cookie = 0

    def _receive(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except OSError as failed:
                raise Refused(str(failed)) from failed
            if not piece:
                raise Refused("the server ended the connection")
            data += piece
        return data

    def _request(self, command, offset, size, payload=b""):
        self.cookie += 1
        head = struct.pack(">IHHQQI", 0x25609513, 0, command, self.cookie, offset, size)
        try:
            self.socket.sendall(head + payload)
        except OSError as failed:
            raise Refused(str(failed)) from failed
        magic, fault, cookie = struct.unpack(">IIQ", self._receive(16))
        if magic != 0x67446698 or cookie != self.cookie:
            raise Refused("a reply that is none")
        if fault != 0:
            raise Refused(f"error {fault}")
        return self._receive(size) if command == READ else b""

    def read(self, offset, size):
        return self._request(READ, offset, size)

    def write(self, offset, data):
        self._request(WRITE, offset, len(data), data)

    def close(self):
        self.socket.close()
