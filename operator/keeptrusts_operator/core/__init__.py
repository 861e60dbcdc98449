"""The decision core: pure functions over frozen values.

Nothing here knows a clock, does I/O or imports Kopf, Kubernetes or HTTP (``tests/unit/test_layers.py`` enforces it).
``machine.decide(world, state)`` is the way in; ``docs/architecture.md`` has the plan.
"""
