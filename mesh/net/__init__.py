"""The network as it is: TCP under trio. The only floor that knows sockets; it knows ports, wire and ground."""
