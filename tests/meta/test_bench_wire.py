"""The wire's bench measures messages that exist; how fast they are is no test's business."""

from mesh.wire import messages
from mesh.wire.envelope import check
from mesh.wire.signing import Ed25519Verifier
from tools.bench import wire


def test_what_is_measured_is_sound() -> None:
    for name, message in wire.samples().items():
        assert messages.decode(messages.encode(message)) == message, name
        check(message, Ed25519Verifier())
