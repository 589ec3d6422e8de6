"""Boxes: overlap, merging two views, averaging, average precision; numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whales.files.boxes import (
    Detection,
    average_boxes,
    iou,
    mean_average_precision,
    merge_views,
    mirror,
    to_pixels,
)


def detections(*entries):
    """Detections from (x1, y1, x2, y2, score, label), padded with -1 as the detector does."""
    table = np.array([*entries, (-1, -1, -1, -1, -1, -1)], float).reshape(-1, 6)
    return table[:, :4], table[:, 4], table[:, 5].astype(int)


def whale(score, *box):
    """A merged detection of label 0, to be compared with approx number by number."""
    return [0, pytest.approx(score), pytest.approx(box)]


def mirrored(*entries):
    """The same in a mirrored photo, from upright boxes."""
    return detections(*((1 - x2, y1, 1 - x1, y2, *rest) for x1, y1, x2, y2, *rest in entries))


def test_iou_by_hand():
    # 2x2 and 2x2 share 1x1: 1 / 7; 4x1 inside 4x2: 1 / 2; apart: 0.
    first = [[0, 0, 2, 2], [0, 0, 4, 1]]
    second = [[1, 1, 3, 3], [0, 0, 4, 2], [10, 10, 11, 11]]
    expected = [[1 / 7, 4 / 8, 0], [0, 1 / 2, 0]]
    assert iou(np.array(first), np.array(second)) == pytest.approx(np.array(expected))


def test_iou_of_boxes_whose_sides_all_differ():
    # x from 3 to 5, y from 7 to 8: 2 of 6 * 7 + 4 * 3 - 2 = 52; in each order of the two.
    first, second = [-1, 1, 5, 8], [3, 7, 7, 10]
    assert iou([first], [second])[0, 0] == pytest.approx(2 / 52)
    assert iou([second], [first])[0, 0] == pytest.approx(2 / 52)


@pytest.mark.parametrize("bad", [[5, 5, 5, 9], [5, 5, 2, 9], [9, 9, 2, 2]])
def test_iou_of_empty_and_inverted_boxes_is_zero(bad):
    assert iou(np.array([bad]), np.array([[0, 0, 10, 10], bad])).tolist() == [[0.0, 0.0]]


def test_iou_without_boxes():
    assert iou(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)


def test_mirror_swaps_the_sides():
    assert mirror(np.array([[0.1, 0.2, 0.4, 0.9]]))[0] == pytest.approx([0.6, 0.2, 0.9, 0.9])


def test_upright_alone_gets_half_its_score():
    assert merge_views(detections((0.1, 0.2, 0.5, 0.6, 0.8, 0)), detections()) == [
        Detection(0, 0.4, (0.1, 0.2, 0.5, 0.6))
    ]


def test_no_box_at_all():
    assert merge_views(detections(), detections()) == []


def test_scores_below_a_hundredth_are_dropped():
    box = (0.1, 0.2, 0.5, 0.6)
    assert merge_views(detections((*box, 0.009, 0)), detections()) == []
    assert len(merge_views(detections((*box, 0.01, 0)), detections())) == 1


def test_mirrored_box_joins_the_upright_one():
    # IoU .15 / .2 = .75; equal weights, so the plain mean; weight 1 keeps the score.
    merged = merge_views(
        detections((0.2, 0.2, 0.6, 0.7, 0.9, 0)), mirrored((0.2, 0.2, 0.5, 0.7, 0.5, 0))
    )
    assert len(merged) == 1
    assert list(merged[0]) == whale(0.7, 0.2, 0.2, 0.55, 0.7)


def test_below_the_threshold_it_is_appended():
    # IoU = .2 / .4 = .5, not above .55.
    merged = merge_views(
        detections((0.0, 0.0, 0.4, 0.5, 0.4, 0)), mirrored((0.0, 0.0, 0.4, 1.0, 0.9, 0))
    )
    assert list(merged[0]) == whale(0.2, 0, 0, 0.4, 0.5)  # list order, not score order
    assert list(merged[1]) == whale(0.45, 0, 0, 0.4, 1)


def test_the_threshold_itself_is_not_enough():
    # 11 of 20 columns are shared: IoU 11 / 20; thirty-seconds are exact in binary.
    wide, narrow = (0.0, 0.0, 20 / 32, 1.0), (0.0, 0.0, 11 / 32, 1.0)
    merged = merge_views(detections((*wide, 0.6, 0)), mirrored((*narrow, 0.6, 0)))
    assert len(merged) == 2


@pytest.mark.parametrize("labels", [[0, 1], [1, 0]])
def test_other_labels_do_not_join(labels):
    box = (0.2, 0.2, 0.6, 0.7)
    merged = merge_views(detections((*box, 0.9, labels[0])), mirrored((*box, 0.9, labels[1])))
    assert [detection.label for detection in merged] == labels


def test_labels_are_compared_by_number():
    box = (0.2, 0.2, 0.6, 0.7)
    merged = merge_views(detections((*box, 0.9, 1000)), mirrored((*box, 0.5, 1000)))
    assert [list(detection) for detection in merged] == [
        [1000, pytest.approx(0.7), pytest.approx(box)]
    ]


def test_a_view_of_unequal_lengths_is_refused():
    boxes, scores, labels = detections((0.2, 0.2, 0.6, 0.7, 0.9, 0), (0, 0, 1, 1, 0.8, 0))
    with pytest.raises(ValueError, match="argument"):
        merge_views((boxes[:1], scores, labels), detections())
    with pytest.raises(ValueError, match="argument"):
        merge_views(detections(), (boxes, scores, labels[:1]))


def test_the_best_overlap_wins():
    first, second = (0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.6, 1.0)
    merged = merge_views(
        detections((*first, 0.5, 0), (*second, 0.5, 0)), mirrored((0.0, 0.0, 0.58, 1.0, 0.9, 0))
    )
    assert list(merged[0]) == whale(0.25, *first)
    assert list(merged[1]) == whale(0.7, 0, 0, 0.59, 1)


def test_a_second_mirrored_box_joins_the_already_merged_one():
    """Weights 1/2 + 1/2, then 1 and 1/2: thirds; the coordinates compared are the present ones."""
    merged = merge_views(
        detections((0.0, 0.0, 0.6, 1.0, 0.6, 0)),
        mirrored((0.0, 0.0, 0.4, 1.0, 0.8, 0), (0.0, 0.0, 0.3, 1.0, 0.4, 0)),
    )
    # First join: x2 (.6 + .4) / 2 = .5, score .7, weight 1. The second box overlaps the merged one
    # by .3 / .5 = .6 and joins; the original box it would only have overlapped by .5.
    # x2 = (.5 * 1 + .3 * .5) / 1.5, score (.7 * 1 + .4 * .5) / 1.5 = .6, times weight 1.5.
    assert len(merged) == 1
    assert list(merged[0]) == whale(0.9, 0, 0, 0.65 / 1.5, 1)


def test_a_mirrored_box_joins_one_appended_before():
    merged = merge_views(
        detections((0.8, 0.8, 1.0, 1.0, 0.6, 0)),
        mirrored((0.0, 0.0, 0.4, 0.4, 0.8, 0), (0.0, 0.0, 0.4, 0.4, 0.4, 0)),
    )
    assert len(merged) == 2
    assert list(merged[1]) == whale(0.6, 0, 0, 0.4, 0.4)


def rows_of_boxes(scores):
    """Boxes side by side, one a score."""
    return [(i / 10, 0.0, i / 10 + 0.08, 0.5, score, 0) for i, score in enumerate(scores)]


def test_more_than_four_are_sorted_and_cut():
    merged = merge_views(detections(*rows_of_boxes([0.2, 0.9, 0.4, 0.6, 0.8])), detections())
    assert [detection.score for detection in merged] == pytest.approx([0.45, 0.4, 0.3, 0.2])


def test_up_to_four_keep_their_order():
    merged = merge_views(detections(*rows_of_boxes([0.2, 0.9, 0.4, 0.6])), detections())
    assert [detection.score for detection in merged] == pytest.approx([0.1, 0.45, 0.2, 0.3])


def test_sorting_uses_the_score_times_its_weight():
    """Five boxes: the one both views saw (.5, weight 1) beats a single view's .9 (weight 1/2)."""
    boxes = rows_of_boxes([0.9, 0.5, 0.3, 0.2, 0.1])
    merged = merge_views(detections(*boxes), mirrored(boxes[1]))
    assert list(merged[0]) == whale(0.5, 0.1, 0, 0.18, 0.5)
    assert merged[1].score == pytest.approx(0.45)


def test_merging_leaves_its_arguments_alone():
    upright, other = (
        detections((0.2, 0.2, 0.6, 0.7, 0.9, 0)),
        mirrored((0.2, 0.2, 0.5, 0.7, 0.5, 0)),
    )
    before = [array.copy() for array in (*upright, *other)]
    merge_views(upright, other)
    for array, copy in zip((*upright, *other), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4, st.floats(0.01, 1)), max_size=6))
def test_a_view_alone_is_never_changed_but_for_its_weight(rows):
    boxes = [(*sorted(row[0:4:2]), *sorted(row[1:4:2]), row[4]) for row in rows]
    boxes = [(x1, y1, x2, y2, score, 0) for x1, x2, y1, y2, score in boxes]
    merged = merge_views(detections(*boxes), detections())
    expected = [Detection(0, score / 2, tuple(box)) for *box, score, _ in boxes]
    if len(expected) > 4:
        expected = sorted(expected, key=lambda detection: -detection.score)[:4]
    assert merged == expected


def test_pixels_are_truncated():
    assert to_pixels((0.0999, 0.5, 0.99999, 1.0), 1000, 401) == (99, 200, 999, 401)
    assert all(type(value) is int for value in to_pixels((0, 0, 1, 1), 3, 3))


def test_average_rounds_half_to_even():
    # 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, 3.5 -> 4: Python's rounding.
    averaged = average_boxes({"a": (0, 1, 2, 3)}, {"a": (1, 2, 3, 4)})
    assert averaged == {"a": (0, 2, 2, 4)}
    assert all(type(value) is int for value in averaged["a"])


def test_average_keeps_what_only_the_first_has_and_drops_the_rest():
    first = {"both": (10, 20, 30, 40), "first": (1, 2, 3, 4)}
    averaged = average_boxes(first, {"both": (21, 20, 33, 40), "second": (5, 6, 7, 8)})
    assert averaged == {"both": (16, 20, 32, 40), "first": (1, 2, 3, 4)}
    assert list(averaged) == ["both", "first"]


TRUTH = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], float)
HIT = [0, 0, 10, 10]  # IoU 1 at every threshold
NEAR = [0, 0, 10, 7.2]  # IoU .72: a hit at .50, .55, .60, .65, .70
MISS = [20, 20, 30, 30]


def found(*pairs):
    return [
        (np.array([box for box, _ in photo], float).reshape(-1, 4), np.array([s for _, s in photo]))
        for photo in pairs
    ]


def test_precision_of_perfect_boxes_is_one():
    assert mean_average_precision(found([(HIT, 0.9)], [(HIT, 0.3)]), TRUTH) == 1


def test_precision_counts_half_the_thresholds():
    assert mean_average_precision(found([(NEAR, 0.9)], [(NEAR, 0.3)]), TRUTH) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("overlap", "hits"),
    [(0.499, 0), (0.5, 1), (0.549, 1), (0.551, 2), (0.749, 5), (0.949, 9), (0.951, 10), (1, 10)],
)
def test_a_box_is_a_hit_from_each_threshold_on(overlap, hits):
    """Of the ten thresholds .50, .55, .. .95, the first included."""
    box = [0, 0, 10, 10 * overlap]
    found_boxes = found([(box, 0.9)], [(box, 0.3)])
    assert mean_average_precision(found_boxes, TRUTH) == pytest.approx(hits / 10)


def test_a_better_scored_miss_halves_the_precision():
    # By score: miss, hit, hit: precision 0, 1/2, 2/3; from the right 2/3 for both hits.
    detections = found([(MISS, 0.9), (HIT, 0.8)], [(HIT, 0.7)])
    assert mean_average_precision(detections, TRUTH) == pytest.approx(2 / 3)


def test_a_second_hit_in_a_photo_is_a_false_alarm():
    # hit, repeat, hit: precision 1, 1/2, 2/3; the hits' shares 1 and 2/3.
    detections = found([(HIT, 0.9), (HIT, 0.8)], [(HIT, 0.7)])
    assert mean_average_precision(detections, TRUTH) == pytest.approx((1 + 2 / 3) / 2)


def test_a_photo_without_detection_halves_the_recall():
    assert mean_average_precision(found([(HIT, 0.9)], []), TRUTH) == pytest.approx(0.5)


def test_precision_without_any_detection():
    assert mean_average_precision(found([], []), TRUTH) == 0


def test_only_the_hundred_best_of_a_photo_count():
    crowd = [(MISS, 0.9)] * 100
    assert mean_average_precision(found([*crowd, (HIT, 0.1)], []), TRUTH) == 0
