"""Who holds a tied weight, against a list of the loads that have not been freed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_edgeload.networks.layer import TensorSpec
from pytest_edgeload.networks.tile import WHOLE
from pytest_edgeload.planning.plan import WeightKey
from pytest_edgeload.planning.tied import Holders

WEIGHTS = [TensorSpec(name, "uint8", (4,), 4 * i, 4) for i, name in enumerate("abc")]
LOADS = st.dictionaries(
    st.tuples(st.integers(0, 1), st.integers(0, 3)), st.sets(st.sampled_from(WEIGHTS)).map(lambda drawn: [*drawn])
)


@given(LOADS, st.data())
def test_a_weight_is_new_once_and_gone_after_its_last_holder(
    loads: dict[tuple[int, int], list[TensorSpec]], data: st.DataObject
) -> None:
    """In any order, a load gets as new the weights that its request does not hold; the last free lets them go."""
    holders, held = Holders(), dict[WeightKey, list[TensorSpec]]()
    steps = data.draw(st.permutations([key for key in loads for _ in range(2)]))
    for request, layer in steps:
        key, weights = (request, layer, WHOLE), loads[request, layer]
        others = [w for other, own in held.items() if other != key and other[0] == request for w in own]
        alone = {weight for weight in weights if weight not in others}
        if key in held:
            del held[key]
            assert {*holders.free(key)} == alone
        else:
            held[key] = weights
            assert {*holders.load(key, weights)} == alone
    assert all(holders.free((*key, WHOLE)) == () for key in loads)
