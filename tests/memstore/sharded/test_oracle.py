"""Random operations: a memory in one piece against 2 and 3 shards, bit for bit."""

import pytest

from tests.helpers.sharded_oracle import RULES, WEIGHTS, operations


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("seed", "rules"), [*enumerate(RULES)])
def test_any_sequence_of_operations_is_that_of_one_memory(seed, rules):
    """`python -m tests.helpers.sharded_oracle 10000` does 10,000."""
    counts = operations(60, seed, **rules)
    assert counts.keys() >= WEIGHTS.keys()
