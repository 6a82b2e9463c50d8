"""What a model was made from, by the chain."""

import pytest

from models_registry import selectors as registry
from models_registry.errors import ModelNotFoundError

pytestmark = pytest.mark.django_db


def related(models: list[registry.RelatedModel]) -> list[tuple[int, int]]:
    return [(model.model_id, model.bps) for model in models]


def test_lineage_names_parents_ancestors_and_children(market):
    root = market.publish(derivative_bps=500)
    base = market.publish(b"\x02" * 32, parents=[(root, 700)], derivative_bps=1000)
    free = market.publish(b"\x03" * 32)
    child = market.publish(b"\x04" * 32, parents=[(base, 1200), (free, 0)])
    market.index()
    found = registry.lineage_get(child)
    assert related(found.parents) == [(base, 1200), (free, 0)]
    assert sorted(related(found.ancestors)) == sorted([(root, 700), (base, 1200)])
    assert related(found.ancestors) == [
        (share["modelId"], share["bps"]) for share in market.read("ModelRegistry", "ancestors", [child])
    ]
    assert (found.children, found.child_count, found.derivative_bps) == ([], 0, 0)
    assert related(registry.lineage_get(base).children) == [(child, 1200)]
    assert registry.lineage_get(base).derivative_bps == 1000
    assert registry.lineage_get(root).child_count == 1
    assert found.parents[0].share_text == "12 %"


def test_derivative_share_is_the_newest_and_a_reorg_gives_the_old_one_back(market):
    model_id = market.publish(derivative_bps=500)
    market.send("ModelRegistry", "setDerivativeBps", [model_id, 0], by=market.publisher)
    market.index()
    assert registry.lineage_get(model_id).derivative_bps == 0
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.index()
    assert registry.lineage_get(model_id).derivative_bps == 500


def test_lineage_that_a_reorg_removes_is_gone(market):
    parent = market.publish()
    market.publish(b"\x02" * 32, parents=[(parent, 100)])
    market.index()
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.index()
    assert registry.lineage_get(parent).children == []
    assert registry.ancestors_of([parent, parent + 1]) == {}


def test_lineage_of_an_unknown_model_is_not_found(market):
    with pytest.raises(ModelNotFoundError):
        registry.lineage_get(2**200)


def test_model_owners_are_the_newest(market):
    model_id, other = market.publish(), market.publish(b"\x02" * 32)
    market.send("ModelRegistry", "transferFrom", [market.publisher, market.outsider, model_id], by=market.publisher)
    market.index()
    assert registry.model_owners([model_id, other, 99]) == {model_id: market.outsider, other: market.publisher}
