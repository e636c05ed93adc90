"""Bounds of weights, and of how a host shares its time out between jobs, each with its reason."""

from mesh.ground.instants import SECOND_MS

WEIGHT_MOST = 100
WEIGHT_DEFAULT = 10
"""A job may ask for a tenth of what others get, or for ten times as much: beyond that, cancelling says it better."""

CONTROLS_PER_AUTHOR = 64
"""Changes of one job that one author may make; each is a record that all its keepers keep."""

CONTROLS_SEEN = 4
"""Changes that one names as those it goes beyond: the latest of each thing that can be changed."""

FAIR_LAG_MS = 10 * SECOND_MS
"""A job that had nothing open for a while may be so far behind others: it caught no slot between two windows, say.
More would let it have the whole host for as long as it was away."""

FAIR_LEAD_MS = SECOND_MS
"""A grant is taken although its job leads by so much: whoever gives one back is granted nothing for three seconds."""

UNKNOWN_TASK_MS = SECOND_MS
"""What a claimed task is taken to cost before one of its job was rendered, so that free slots are shared out."""

assert 1 <= WEIGHT_DEFAULT <= WEIGHT_MOST
assert FAIR_LEAD_MS < FAIR_LAG_MS
