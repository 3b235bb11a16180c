"""One-hot blocks side by side, and the critic that sees them."""

import pytest
import torch

from hf_hybrid.samplers.blocks import OneHotBlocks, gumbel
from hf_hybrid.samplers.critic import Critic

SIZES = [3, 1, 5]


@pytest.fixture
def logits():
    return torch.randn(40, 9, generator=torch.Generator().manual_seed(0))


def test_each_block_has_a_softmax_of_its_own(logits):
    blocks = OneHotBlocks(SIZES)
    one_by_one = torch.cat([part.softmax(1) for part in logits.split(SIZES, 1)], 1)

    torch.testing.assert_close(blocks.softmax(logits), one_by_one)
    torch.testing.assert_close(blocks.log_softmax(logits), one_by_one.log())
    torch.testing.assert_close(blocks.flat(blocks.rows(logits)), logits)


def test_one_choice_a_block_the_highest(logits):
    chosen = OneHotBlocks(SIZES).choose(logits)

    for part, scores in zip(chosen.split(SIZES, 1), logits.split(SIZES, 1), strict=True):
        torch.testing.assert_close(part.sum(1), torch.ones(40))
        assert (part.argmax(1) == scores.argmax(1)).all()


def test_gumbel_noise_draws_by_the_shares():
    rng = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.7, 0.2, 0.1])
    draws = OneHotBlocks([3]).choose(shares.log() + gumbel(torch.rand(20_000, 3, generator=rng)))

    torch.testing.assert_close(draws.mean(0), shares, atol=0.015, rtol=0)


def test_conditions_fall_on_all_blocks_alike_and_on_choices_by_weight():
    weights = torch.tensor([6.0, 3.0, 1.0, 5.0, 0.0, 0.0, 1.0, 1.0, 2.0])
    choice = OneHotBlocks(SIZES).draw(weights, 30_000, torch.Generator().manual_seed(0))

    expected = torch.tensor([0.6, 0.3, 0.1, 1, 0, 0, 0.25, 0.25, 0.5]) / 3
    torch.testing.assert_close(torch.bincount(choice, minlength=9) / 30_000, expected, atol=0.01, rtol=0)


def test_no_block_is_possible():
    blocks = OneHotBlocks([])
    nothing = torch.zeros(4, 0)

    assert blocks.num_choices == 0
    for found in (blocks.softmax(nothing), blocks.choose(nothing), blocks.one_hot(torch.zeros(4, dtype=torch.long))):
        assert found.shape == (4, 0)


@pytest.mark.parametrize("pac", [1, 5])
def test_the_gradient_in_closed_form_is_that_of_autograd(pac):
    torch.manual_seed(0)
    critic = Critic(width=7, hidden_dims=[16, 8, 12], pac=pac).double()
    rows = torch.randn(20, 7, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)  # the same dropout for both
    (expected,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    torch.manual_seed(1)
    found = critic.gradient(rows)

    torch.testing.assert_close(found, expected.reshape(20 // pac, -1))
    by_hand, by_autograd = (
        torch.autograd.grad(one.square().sum(), [layer.weight for layer in critic.layers]) for one in (found, expected)
    )
    torch.testing.assert_close(by_hand, by_autograd)


def test_dropout_keeps_half_and_doubles_it():
    torch.manual_seed(0)
    kept = Critic(width=4, hidden_dims=[1000], pac=1)._kept(torch.zeros(500, 1001))

    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert kept.mean().item() == pytest.approx(1, abs=0.01)
    assert kept.mean(0).std().item() < 0.06 and kept.mean(1).std().item() < 0.05
