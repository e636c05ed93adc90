"""The wire as the version before the present one had it: a frozen page of all its types, and what reads it.

Nothing here is shared with `mesh.wire` but canonical CBOR, on which all versions rest. The page was written by
`tools/wire_freeze.py` on the last commit that spoke the version; it is never changed, and `codec` follows no change.
"""
