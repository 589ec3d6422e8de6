"""The schedule as data: plain numbers for stamps, tags for file names."""

import pytest

from whales.base.errors import UserError
from whales.training.plan import Block, Plan, fold_finetune, in_round, numbered


def test_numbers_are_plain_values():
    block = Block("temp", lambda i: (0.5, 0.25)[i], 2, 5, amplitude=lambda i: i, batch=16)
    expected = {
        "tag": "temp",
        "lr": [0.5, 0.25],
        "rounds": 2,
        "epochs": 5,
        "amplitude": [0, 1],
        "frozen": False,
        "new_adam": False,
        "each_round": False,
        "batch": 16,
    }
    assert Plan(64, 8, 2, (block,), weights="imagenet").numbers() == {
        "size": 64,
        "batch": 8,
        "segments": 2,
        "blocks": [expected],
        "weights": "imagenet",
        "momentum": None,
        "steps": None,
        "validate_first": False,
        "data_parallel": False,
    }


def test_temporary_blocks_are_numbered_through_the_chain():
    temporary, final = Block("temp", 1e-4, 1, 1, 1), Block("final", 1e-4, 1, 1, 1)
    plans = [Plan(64, 8, 1, (temporary, final)), Plan(32, 8, 1, (temporary, temporary))]
    tags = [[block.tag for block in plan.blocks] for plan in numbered(plans)]
    assert tags == [["temp0", "final"], ["temp1", "temp2"]]
    assert plans[0].blocks[0].tag == "temp"


def test_the_last_block_of_a_fold_lets_its_noise_fade():
    last = fold_finetune(last_epochs=lambda i: 5 + i)[-1]
    assert [in_round(last.amplitude, i) for i in (0, 10, 19)] == [0.25, 0.125, 0.0125]
    assert [in_round(last.epochs, i) for i in (0, 19)] == [5, 24]
    assert in_round(last.lr, 19) == 8e-6


def test_batches_in_parts():
    plan = Plan(64, 6, 1, (Block("a", 1, 1, 1, 1, batch=16), Block("b", 1, 1, 1, 1)))
    halves = plan.accumulating(2)
    assert [halves.pairs_at_once(block) for block in halves.blocks] == [8, 3]
    assert halves.numbers() == {**plan.numbers(), "accumulate": 2}
    expected = (
        r"--accumulate 3 does not divide .* \(6, 16 pairs a step\) into equal parts; 1, 2 would"
    )
    with pytest.raises(UserError, match=expected):
        plan.accumulating(3)


def test_a_rehearsal_never_lengthens_a_plan():
    plan = Plan(64, 6, 1, (Block("a", 1, 3, lambda i: 9 - i, 1), Block("b", 1, 1, 1, 1)), steps=3)
    short = plan.rehearsed(2)
    assert (short.steps, plan.rehearsed(5).steps) == (2, 3)
    assert [(block.rounds, block.epochs) for block in short.blocks] == [(1, 2), (1, 1)]
