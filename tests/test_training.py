import pytest

from mlvae_tf import training


@pytest.mark.parametrize(
    ("steps_per_epoch", "at_once"),
    [(1, 1), (9, 9), (47, 1), (235, 5), (90, 10)],
)
def test_steps_at_once_divide_the_epoch(steps_per_epoch, at_once):
    assert training._steps_at_once(steps_per_epoch) == at_once
