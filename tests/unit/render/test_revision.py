"""The address of a revision: golden values, so that no upgrade of the operator restarts anybody's gateways."""

from __future__ import annotations

from typing import Any

from keeptrusts_operator.policy.document import dump_yaml, parse_yaml
from keeptrusts_operator.render.revision import policy_hash_of, revision_of

DOCUMENT: dict[str, Any] = {
    "pack": {"name": "support-gateway", "version": "1.0.0", "enabled": True},
    "policies": {"chain": ["audit-logger"]},
    "policy": {"audit-logger": {"retention_days": 365}},
}
TEMPLATE = {"spec": {"containers": [{"name": "gateway", "image": "keeptrusts/gateway:2.3.1"}]}}
GOLDEN = ("54d098b4f9", "5b25caabaf", "1e73c0cb9f")


def test_golden_values() -> None:
    assert revision_of(DOCUMENT, TEMPLATE, {}) == GOLDEN[0]
    assert revision_of(DOCUMENT, TEMPLATE, {"profile": "Ferro", "port": 8080}) == GOLDEN[1]
    assert policy_hash_of(DOCUMENT, {"config": DOCUMENT}) == GOLDEN[2]


def test_only_what_reaches_pods_counts() -> None:
    base = revision_of(DOCUMENT, TEMPLATE, {})
    read_only = {"metrics": {"path": "/m"}, "health": {"statusPath": "/s"}, "chatPath": "/c", "blockedStatus": [400]}
    assert revision_of(DOCUMENT, TEMPLATE, read_only) == base
    for reaching in ({"port": 1}, {"args": ["x"]}, {"configFile": "/x"}, {"health": {"readinessPath": "/r"}}):
        assert revision_of(DOCUMENT, TEMPLATE, reaching) != base


def test_order_comments_and_the_way_it_is_kept_do_not_count() -> None:
    turned = dict(reversed(DOCUMENT.items()))
    from_text = parse_yaml("# a comment\n" + dump_yaml(turned))
    assert revision_of(from_text, TEMPLATE, {}) == revision_of(DOCUMENT, TEMPLATE, {})


def test_expected_changes_and_tests_belong_to_the_policy() -> None:
    assert policy_hash_of(DOCUMENT, {"expectedBlockRateIncrease": "5%"}) != policy_hash_of(DOCUMENT, {})
    assert policy_hash_of(DOCUMENT, {"validation": "Strict"}) == policy_hash_of(DOCUMENT, {})
