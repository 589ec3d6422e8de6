"""How long a training still takes: hand-computed."""

from whales.training.forecast import Forecast, TimeLeft
from whales.training.plan import Block, Plan

# 50 photos make 100 pairs: 10 steps of 10 pairs, 5 of 20 with a frozen branch.
FROZEN = Block("a", 1e-4, rounds=1, epochs=3, amplitude=1, frozen=True, batch=20)
FREE = Block("b", 1e-4, rounds=2, epochs=lambda i: 4 + i, amplitude=1)
EACH = Block("c", 1e-4, rounds=2, epochs=1, amplitude=1, each_round=True)
PLAN = Plan(64, 10, 1, (FROZEN, FREE, EACH))


def forecast(plan: Plan = PLAN, validated: int = 100) -> Forecast:
    """One whose mining takes 7 s, so that a validation of twice the photos takes 14 s."""
    result = Forecast(plan, photos=50, validated=validated)
    result.mined(7.0)
    return result


def test_nothing_is_known_before_the_second_step():
    new = forecast()
    assert new.left(0, 0, 0, 0) is None
    new.stepped(FROZEN, 60.0)  # compiling
    assert new.left(0, 0, 0, 1) is None


def test_time_left_by_hand():
    seen = forecast()
    for block, seconds in ((FROZEN, 60), (FROZEN, 2), (FREE, 90), (FREE, 3), (FREE, 3), (FREE, 9)):
        seen.stepped(block, seconds)
    # Frozen epochs take 5 x 2 s, free ones 10 x 3 s (the median); a whole round of b 7 + 120, 7 + 150 + 14,
    # of c 7 + 30 + 14.
    after_two_steps = TimeLeft(epoch=6, round=6 + 20 + 14, block=40, plan=40 + 127 + 171 + 51 + 51)
    assert seen.left(0, 0, 0, 2) == after_two_steps
    # Between rounds of b: after 3 of its first 4 epochs.
    assert seen.left(1, 0, 3, 0) == TimeLeft(30, 30, 30 + 171, 201 + 102)
    # All epochs of the last round done: its validation is left.
    assert seen.left(2, 1, 1, 0) == TimeLeft(0, 14, 14, 14)
    seen.has_validated(4.0)
    assert seen.left(2, 1, 1, 0) == TimeLeft(0, 4, 4, 4)


def test_a_free_branch_costs_three_times_a_frozen_one_until_it_was_seen():
    new = forecast(validated=0)
    for seconds in (60, 2):
        new.stepped(FROZEN, seconds)
    # 2 s for 20 pairs: a step of 10 pairs takes 1 s, and 3 s with its gradients.
    assert new.seconds_a_step(FREE) == 3
    assert new.left(2, 0, 0, 0) == TimeLeft(30, 30, 30 + 7 + 30, 67)


def test_rehearsals_and_parts_of_steps_count():
    plan = PLAN.rehearsed(2).accumulating(5)
    new = forecast(plan, validated=0)
    frozen, free, each = plan.blocks
    # Two steps in five parts; one round a block, and two epochs a round, but for the block that has one.
    assert [new.steps_of(block) for block in plan.blocks] == [10, 10, 10]
    assert [(block.rounds, block.epochs) for block in plan.blocks] == [(1, 2), (1, 2), (1, 1)]
    for seconds in (9, 1):
        new.stepped(free, seconds)
    assert new.left(1, 0, 1, 4) == TimeLeft(6, 6, 6, 6 + 7 + 10)
    assert (frozen.frozen, each.each_round) == (True, True)
