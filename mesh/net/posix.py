"""What only POSIX systems have, or have in ways of their own: how several peers of one machine hear one port.

The module must not know what they hear.
"""

import socket
import sys


def share_port(sock: socket.socket) -> None:
    """Let others of this machine bind the port too; what is sent to everybody then reaches each of them.

    Linux asks for the older option alone, and only with it lets other users share; BSD and macOS want the newer.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform != "linux" and hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
