"""The routing policy that a search starts from. docs/policies.md says what it may see and answer."""

import blis


# EVOLVE-BLOCK-START
@blis.routing_policy
def route(request, instances, state):
    """Send the request to the shortest queue."""
    best = 0
    for i in range(1, instances.num_instances):
        if instances.queue_depth[i] < instances.queue_depth[best]:
            best = i
    return best


# EVOLVE-BLOCK-END
